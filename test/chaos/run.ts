/** `npm run chaos -- [--minutes N] [--seed N]`: the chaos test for longer. Exit 0 only if every guarantee held. */
import { parseArgs } from 'node:util';
import { runChaos } from './chaos.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const seed = Number(values.seed);
const seconds = Number(values.minutes) * 60;
if (!(seconds > 0) || !Number.isSafeInteger(seed)) {
  console.error('--minutes needs a number above 0, --seed a whole number');
  process.exit(2);
}
console.log(`Chaos for ${values.minutes} minutes, seed ${seed}.`);
const started = performance.now();
const stamp = (): string => `${((performance.now() - started) / 1_000).toFixed(0).padStart(5)} s`;
const report = await runChaos({ seconds, seed, log: (line) => console.log(`${stamp()}  ${line}`) });
const { verdict, handled } = report;
for (const [fault, count] of report.faults) console.log(`${String(count).padStart(5)} × ${fault}`);
console.log(
  `${verdict.sent} sent, ${verdict.acknowledged} acknowledged, ${verdict.failed} failed, ${verdict.unknown} unknown, ${verdict.read} read`,
);
console.log(
  `lost ${verdict.lost.length}, duplicated ${verdict.duplicated.length}, out of order ${verdict.outOfOrder.length}, longest time without an acknowledgement ${report.longestGapMilliseconds.toFixed(0)} ms`,
);
console.log(
  `${handled.acked} handled, ${handled.repeated} of them again, ${handled.nacked} failed by chance, under ${handled.holds} holds`,
);
for (const problem of report.problems.slice(0, 50)) console.error(problem);
console.log(report.problems.length === 0 ? 'Held.' : `DID NOT HOLD: ${report.problems.length} problems.`);
process.exitCode = report.problems.length === 0 ? 0 : 1;
