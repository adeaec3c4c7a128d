import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AppendAnswer, type Offset, RUN_REFUSED, RUN_UNKNOWN } from '../../src/contracts.ts';
import { groupNames } from '../../src/partition/group-names.ts';
import { PartitionState } from '../../src/partition/partition-state.ts';
import { batch, contents } from './batches.ts';
import { replay, type Setup, settle, setUp } from './setup.ts';

const PRODUCERS = [21, 22, 23];
const GROUPS = ['a', 'b', 'c'];
const CODES_THAT_RETRY = ['NOT_LEADER', 'NOT_COMMITTED', 'SHUTTING_DOWN'];

interface Run {
  readonly producer: number;
  readonly group: string;
  readonly sequence: number;
  readonly values: readonly string[];
  /** Attempts without an answer. */
  open: number;
  /** An attempt's fate is unknown: it may be stored. */
  unknown: boolean;
  receipt: { readonly offset: number; readonly sequence: number } | null;
}

/** What producers know: one run at a time in each lane (producer and group), repeated until its fate is certain. */
class Lanes {
  readonly acknowledged: Run[] = [];
  /** Runs that were given up, certainly not stored. */
  readonly discarded: Run[] = [];
  readonly current = new Map<string, Run>();
  readonly #next = new Map<string, number>();
  #value = 0;

  /** The lane's open run, or a new one. */
  run(producer: number, group: string, count: number): Run {
    const key = `${producer}/${group}`;
    const open = this.current.get(key);
    if (open !== undefined) return open;
    const run: Run = {
      producer,
      group,
      sequence: this.#next.get(key) ?? 1,
      values: Array.from({ length: count }, () => `:${this.#value++}`),
      open: 0,
      unknown: false,
      receipt: null,
    };
    this.current.set(key, run);
    return run;
  }

  answered(run: Run, at: number, answer: AppendAnswer): void {
    run.open--;
    if (answer.type === 'refusal') {
      expect(CODES_THAT_RETRY).toContain(answer.code);
      if (!answer.notApplied) run.unknown = true;
    } else if (answer.status[at] === RUN_UNKNOWN) {
      run.unknown = true;
    } else if (answer.status[at] === RUN_REFUSED) {
      expect(answer.errors.map((error) => error.code)).toContain('NOT_LEADER');
    } else {
      this.#stored(run, { offset: answer.firstOffset[at] ?? -1, sequence: answer.firstSequence[at] ?? -1 });
    }
  }

  /** The producer gives up a run of which it knows that no attempt was stored; its sequence is used again. */
  discard(producer: number, group: string): void {
    const key = `${producer}/${group}`;
    const run = this.current.get(key);
    if (run === undefined || run.open > 0 || run.unknown) return;
    this.current.delete(key);
    this.discarded.push(run);
  }

  #stored(run: Run, receipt: { offset: number; sequence: number }): void {
    if (run.receipt !== null) {
      expect(receipt).toEqual(run.receipt);
      return;
    }
    run.receipt = receipt;
    this.acknowledged.push(run);
    this.current.delete(`${run.producer}/${run.group}`);
    this.#next.set(`${run.producer}/${run.group}`, run.sequence + run.values.length);
  }
}

type Step = readonly [operation: number, a: number, b: number];

/** One step of the world around a partition; numbers choose. */
function step(setup: Setup, lanes: Lanes, [operation, a, b]: Step): void {
  const { shard, clock } = setup;
  const producer = PRODUCERS[a % PRODUCERS.length] as number;
  switch (operation) {
    case 0:
    case 1:
    case 2:
    case 3: {
      // One to three groups in one request; a lane whose run is not settled sends that again.
      const groups = GROUPS.filter((_, at) => ((b % 7) + 1) & (1 << at));
      const runs = groups.map((group) => lanes.run(producer, group, 1 + (b % 3)));
      const sent = runs.map(({ group, sequence, values }) => ({ group, sequence, values }));
      for (const run of runs) run.open++;
      setup.partition
        .append(batch(sent, { id: producer, epoch: 1 }), clock.time + 100 + b)
        .then((answer) => runs.forEach((run, at) => void lanes.answered(run, at, answer)));
      return;
    }
    case 4:
    case 5:
      clock.turn();
      return;
    case 6:
    case 7:
      shard.commit(Math.min(shard.log.length, shard.committed + 1 + (a % 3)));
      return;
    case 8:
      shard.confirmReads(shard.leads);
      return;
    case 9:
      if (a % 3 === 0) {
        shard.confirmReads(false);
        shard.lose(shard.committed + (b % 4));
      } else if (!shard.leads) shard.lead();
      return;
    case 10:
      shard.refuseWith = a % 2 === 0 ? null : 'tooMuchUncommitted';
      return;
    case 11:
      clock.advance(a);
      return;
    default:
      lanes.discard(producer, GROUPS[b % GROUPS.length] as string);
  }
}

/** All records of the partition: group and value, offset, sequence. */
async function readAll({ partition }: Setup) {
  const records: { content: string; offset: number; sequence: number }[] = [];
  for (let next = 0 as Offset; next < partition.highWatermark; ) {
    const stretch = await partition.read(next, 50, null);
    const found = contents(stretch.body);
    stretch.runLengths.forEach((length, run) => {
      for (let n = 0; n < length; n++) {
        const content = found.shift() ?? '';
        const sequence = (stretch.runSequences[run] ?? 0) + n;
        records.push({ content, offset: (stretch.runOffsets[run] ?? 0) + n, sequence });
      }
    });
    next = stretch.nextOffset;
  }
  return records;
}

async function check(setup: Setup, lanes: Lanes, imageAt: number): Promise<void> {
  const { shard, partition } = setup;
  const records = await readAll(setup);
  expect(records.map((record) => record.offset)).toEqual(records.map((_, at) => at));
  expect(new Set(records.map((record) => record.content)).size).toBe(records.length);
  for (const group of GROUPS) {
    const sequences = records.filter((record) => record.content.startsWith(group)).map((r) => r.sequence);
    expect(sequences).toEqual(sequences.map((_, at) => at + 1));
  }
  for (const run of lanes.acknowledged) {
    run.values.forEach((value, at) => {
      expect(records[(run.receipt?.offset ?? -1) + at]).toMatchObject({
        content: run.group + value,
        sequence: (run.receipt?.sequence ?? -1) + at,
      });
    });
  }
  const stored = new Set(records.map((record) => record.content));
  for (const run of lanes.discarded)
    for (const value of run.values) expect(stored).not.toContain(run.group + value);
  // What was acknowledged of a lane lies in the order of its sends.
  for (const lane of new Set(lanes.acknowledged.map((run) => `${run.producer}/${run.group}`))) {
    const offsets = lanes.acknowledged
      .filter((run) => `${run.producer}/${run.group}` === lane)
      .map((run) => run.receipt?.offset ?? -1);
    expect(offsets).toEqual([...offsets].sort((x, y) => x - y));
  }
  // Another replica, and one that restarts from an image in the middle, come to the same state.
  const hash = partition.state.hash();
  expect(replay(shard).hash()).toBe(hash);
  const cut = Math.min(imageAt, shard.committed);
  const restarted = new PartitionState({ names: () => groupNames(9), tailBytesMax: 10 });
  restarted.restore([...replay(shard, cut).image()]);
  restarted.apply(shard.log.slice(cut, shard.committed));
  expect(restarted.hash()).toBe(hash);
}

describe('a partition under retries, lost leaderships and restarts', () => {
  it('stores each message at most once, each acknowledged one exactly once, densely, and alike everywhere', async () => {
    const step_ = fc.tuple(fc.nat(12), fc.nat(60), fc.nat(60));
    let acknowledged = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step_, { minLength: 20, maxLength: 120 }),
        fc.nat(20),
        async (steps, imageAt) => {
          const setup = await setUp({ entriesInFlightMax: 3, entryBytesMax: 30, tailBytesMax: 60 });
          const lanes = new Lanes();
          setup.shard.leadConfirmed();
          for (const one of steps) {
            step(setup, lanes, one);
            await settle();
          }
          // In the end all is well, and everything open is sent once more.
          setup.shard.refuseWith = null;
          if (!setup.shard.leads) setup.shard.lead();
          for (let round = 0; round < 40; round++) {
            setup.clock.turn();
            setup.clock.advance(10);
            setup.shard.commit();
            setup.shard.confirmReads(true);
            await settle();
          }
          for (const run of lanes.current.values()) expect(run.open).toBe(0);
          await check(setup, lanes, imageAt);
          acknowledged += lanes.acknowledged.length;
          setup.partition.close();
        },
      ),
      { numRuns: 300 },
    );
    expect(acknowledged).toBeGreaterThan(500);
  });
});
