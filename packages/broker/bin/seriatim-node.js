#!/usr/bin/env node
// CommonJS on purpose: libuv reads the size of its pool when the pool is first used, and Node's loader of ES modules uses it.
process.env.UV_THREADPOOL_SIZE ??= '8';
import('../dist/node/main.js').then(({ main }) => main(process.argv.slice(2)));
