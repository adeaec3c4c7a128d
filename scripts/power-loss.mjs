/** `npm run test:power-loss [-- --cycles N] [-- --without-sync]`: see test/power-loss/run.ts. Needs root on Linux. */
import { prepare, runSource } from './lib/prepare.mjs';

prepare();
process.exitCode = runSource('test/power-loss/run.ts', process.argv.slice(2));
