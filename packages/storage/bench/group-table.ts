/** Memory, look-up time and the longest insert of the group table. Run: `npx tsx --conditions seriatim-source packages/storage/bench/group-table.ts`. */
import { GroupTable } from '../src/group-table.ts';

const groups = Number(process.argv[2] ?? 1_000_000);
const table = new GroupTable({ columns: { partition: 'u16', epoch: 'f64', lastAccess: 'f64' } });
const keys = new Uint8Array(groups * 39);
for (let i = 0; i < groups; i++)
  new TextEncoder().encodeInto(`group-${i}`.padEnd(39, '-'), keys.subarray(i * 39));
let longest = 0;
const start = performance.now();
for (let i = 0; i < groups; i++) {
  const before = performance.now();
  table.insert(keys, i * 39, i * 39 + 39);
  longest = Math.max(longest, performance.now() - before);
}
const inserted = performance.now();
let found = 0;
for (let i = 0, at = 0; i < groups; i++, at = (at + 7_919) % groups) {
  if (table.find(keys, at * 39, at * 39 + 39) >= 0) found++;
}
const looked = performance.now();
const chunks = [...table.image()];
const imaged = performance.now();
process.stdout.write(
  `${JSON.stringify({
    groups,
    found,
    bytesPerGroup: table.memoryBytes / groups,
    insertMicros: ((inserted - start) * 1000) / groups,
    longestInsertMs: longest,
    findMicros: ((looked - inserted) * 1000) / groups,
    imageMs: imaged - looked,
    chunks: chunks.length,
  })}\n`,
);
