/** `npm run chaos [-- --minutes N]`: real nodes killed, frozen and started again under load; see test/chaos/run.ts. */
import { prepare, runSource } from './lib/prepare.mjs';

prepare();
process.exitCode = runSource('test/chaos/run.ts', process.argv.slice(2));
