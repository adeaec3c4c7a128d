#!/usr/bin/env -S node --initial-old-space-size=256
// A node's newest records live for seconds: in a small old generation they cause a full collection every two seconds at low rates,
// and a tenth of the CPU at high ones. Measured: docs/decisions/008.
// CommonJS on purpose: libuv reads the size of its pool when the pool is first used, and Node's loader of ES modules uses it.
process.env.UV_THREADPOOL_SIZE ??= '8';
import('../dist/node/main.js').then(({ main }) => main(process.argv.slice(2)));
