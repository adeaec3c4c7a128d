#!/usr/bin/env -S node --max-semi-space-size=64
// The young generation is made large: messages under way outlive a small one, and copying them costs more than sending them.
// Plain JavaScript, so that the command exists before the build; the program itself is built into dist.
import { main } from '../dist/main.js';

await main();
