#!/usr/bin/env node
// Plain JavaScript, so that the command exists before the build; the program itself is built into dist.
import { main } from '../dist/main.js';

await main();
