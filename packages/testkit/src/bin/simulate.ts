/** `npm run simulate -- --seed N [--count N] [--seconds N] [--nodes N]`: runs seeds and says which one fails, and how. */
import { parseArgs } from 'node:util';
import { simulate } from '../simulation/simulation.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    nodes: { type: 'string' },
    plain: { type: 'boolean', default: false },
    first: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

let failed = 0;
const started = process.cpuUsage();
for (let n = 0; n < Number(values.count); n += 1) {
  const seed = Number(values.seed) + n;
  const nodes = values.nodes === undefined ? {} : { nodes: Number(values.nodes) };
  const result = await simulate({
    seed,
    seconds: Number(values.seconds),
    storage: values.plain ? 'plain' : 'disk',
    ...nodes,
  });
  if (values.verbose || values.count === '1') console.log(JSON.stringify(result));
  if (result.violation === null) continue;
  failed += 1;
  console.log(
    `seed ${seed} at ${result.simulatedMilliseconds} ms: ${result.violation.stack?.split('\n').slice(0, 6).join('\n')}`,
  );
  console.log(`replay: npm run simulate -- --seed ${seed}`);
  if (values.first) break;
}
const { user, system } = process.cpuUsage(started);
console.log(`${values.count} seeds, ${failed} failed, ${((user + system) / 1e6).toFixed(1)} s of CPU`);
process.exitCode = failed === 0 ? 0 : 1;
