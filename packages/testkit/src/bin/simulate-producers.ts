/** `npm run simulate:producers -- --seed N [--count N] [--rounds N] [--first]`: rounds of producers, cuts, restarts; says which seed fails. */
import { parseArgs } from 'node:util';
import { simulateProducers } from '../producers/producer-simulation.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '100' },
    first: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const totals: Record<string, number> = {};
let failed = 0;
const started = process.cpuUsage();
for (let n = 0; n < Number(values.count); n += 1) {
  const seed = Number(values.seed) + n;
  const { violations, trace, ...counts } = await simulateProducers({ seed, rounds: Number(values.rounds) });
  if (values.verbose) console.log(JSON.stringify({ seed, trace, ...counts }));
  for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
  if (violations.length === 0) continue;
  failed += 1;
  console.log(`seed ${seed} at ${counts.simulatedMilliseconds} ms: ${violations.slice(0, 8).join('\n  ')}`);
  console.log(`replay: npm run simulate:producers -- --seed ${seed} --count 1 --rounds ${values.rounds}`);
  if (values.first) break;
}
const { user, system } = process.cpuUsage(started);
const rounds = Number(values.count) * Number(values.rounds);
console.log(JSON.stringify(totals));
console.log(`${rounds} rounds, ${failed} seeds failed, ${((user + system) / 1e6).toFixed(1)} s of CPU`);
process.exitCode = failed === 0 ? 0 : 1;
