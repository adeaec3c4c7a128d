/** `npm run simulate:consumers -- --seed N [--count N] [--messages N] [--first]`: consumers, breaks, kills, leaders; says which seed fails. */
import { parseArgs } from 'node:util';
import { simulateConsumers } from '../consumers/consumer-simulation.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    messages: { type: 'string', default: '1000' },
    first: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const totals: Record<string, number> = {};
let failed = 0;
const started = process.cpuUsage();
for (let n = 0; n < Number(values.count); n += 1) {
  const seed = Number(values.seed) + n;
  const { violations, trace, ...counts } = await simulateConsumers({
    seed,
    messages: Number(values.messages),
  });
  if (values.verbose) console.log(JSON.stringify({ seed, trace, ...counts }));
  for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
  if (violations.length === 0) continue;
  failed += 1;
  console.log(`seed ${seed} at ${counts.simulatedMilliseconds} ms: ${violations.slice(0, 8).join('\n  ')}`);
  console.log(`replay: npm run simulate:consumers -- --seed ${seed} --count 1 --messages ${values.messages}`);
  if (values.first) break;
}
const { user, system } = process.cpuUsage(started);
console.log(JSON.stringify(totals));
console.log(`${values.count} seeds, ${failed} failed, ${((user + system) / 1e6).toFixed(1)} s of CPU`);
process.exitCode = failed === 0 ? 0 : 1;
