/**
 * Rate of the journal: many shards write entries of 4 KiB, 256 KiB wait for each flush. Run from the project's directory:
 * `npx tsx packages/storage/bench/journal.ts [megabytes] [directory]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock, ShardId } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, Term } from '@seriatim/raft';
import { defaultStorageConfig, nodeFileSystem } from '../src/index.ts';
import { Journal } from '../src/journal.ts';

const ENTRY_BYTES = Number(process.argv[4] ?? 4_096);
const FLUSH_BYTES = 256 * 1_024;
const SHARDS = 8;
const megabytes = Number(process.argv[2] ?? 400);
const directory = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'seriatim-bench-'));
const clock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after: (milliseconds, run) => {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },
  soon: (run) => void setImmediate(run),
};
const journal = new Journal({
  files: nodeFileSystem(),
  directory,
  clock,
  config: defaultStorageConfig,
  journal: 1,
  salt: () => 1,
  onFault: (error) => {
    throw error;
  },
  shards: new Map(),
  extents: [],
  nextFrame: 1,
  nextFile: 1,
  resets: [],
  onFile: () => {},
});
await journal.start();
const total = megabytes * 1_000_000;
const data = Buffer.alloc(ENTRY_BYTES, 'x');
const next = new Array<number>(SHARDS).fill(1);
const entriesPerWrite = Math.max(1, Math.floor(FLUSH_BYTES / 2 / SHARDS / ENTRY_BYTES));
let given = 0;
let durable = 0;
const latencies: number[] = [];
const started = performance.now();
const cpu = process.cpuUsage();
await new Promise<void>((resolve) => {
  const writeOne = (shard: number): void => {
    if (given >= total) return;
    const entries: Entry[] = [];
    for (let i = 0; i < entriesPerWrite; i++) {
      const index = next[shard] ?? 1;
      next[shard] = index + 1;
      entries.push({ index: index as Index, term: 1 as Term, type: 'command', data });
    }
    given += entriesPerWrite * ENTRY_BYTES;
    const before = performance.now();
    journal.write(
      { shard: (shard + 1) as ShardId, replica: 1 as ReplicaId, hardState: null, entries, reset: null },
      () => {
        durable += entriesPerWrite * ENTRY_BYTES;
        latencies.push(performance.now() - before);
        if (durable >= total) resolve();
        else writeOne(shard);
      },
    );
  };
  // While one flush of 256 KiB is written the next one fills.
  const writeRound = (): void => {
    for (let shard = 0; shard < SHARDS; shard++) writeOne(shard);
  };
  writeRound();
  setImmediate(() => setImmediate(writeRound));
});
const seconds = (performance.now() - started) / 1_000;
const used = process.cpuUsage(cpu);
const { flushes } = journal.statistics();
latencies.sort((a, b) => a - b);
process.stdout.write(
  `${JSON.stringify({
    megabytesPerSecond: Math.round(durable / 1e6 / seconds),
    flushes,
    kibibytesPerFlush: Math.round(durable / 1_024 / flushes),
    cpuSeconds: (used.user + used.system) / 1e6,
    latencyMs: {
      p50: latencies[Math.floor(latencies.length / 2)],
      p99: latencies[Math.floor(latencies.length * 0.99)],
    },
  })}\n`,
);
await journal.close();
rmSync(directory, { recursive: true });
