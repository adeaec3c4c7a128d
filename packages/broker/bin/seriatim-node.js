#!/usr/bin/env -S node --max-semi-space-size=64 --min-semi-space-size=16 --initial-old-space-size=256
// Messages under way outlive a small young generation, and copying them costs more than sending them; and a small old one is
// collected every two seconds, which shows in the latency of a quiet cluster. Measured: docs/decisions/008.
// CommonJS on purpose: libuv reads the size of its pool when the pool is first used, and Node's loader of ES modules uses it.
process.env.UV_THREADPOOL_SIZE ??= '8';
import('../dist/node/main.js').then(({ main }) => main(process.argv.slice(2)));
