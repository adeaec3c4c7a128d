/** `npm run failover`: what befalls producers, at full length; see test/failover/run.ts. */
import { prepare, runSource } from './lib/prepare.mjs';

prepare();
process.exitCode = runSource('test/failover/run.ts', process.argv.slice(2));
