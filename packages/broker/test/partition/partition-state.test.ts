import type { Entry, Index, Term } from '@seriatim/raft';
import { describe, expect, it } from 'vitest';
import { AppendBuilder } from '../../src/partition/append-builder.ts';
import { COMMAND_VERSION, encodeRemoveBefore } from '../../src/partition/command.ts';
import { groupNames } from '../../src/partition/group-names.ts';
import { IMAGE_CHUNK_BYTES_MAX } from '../../src/partition/image-codec.ts';
import { PartitionState } from '../../src/partition/partition-state.ts';
import { ShardFault } from '../../src/partition/shard-fault.ts';
import { GROUP_WRITERS_MAX } from '../../src/partition/writer-rows.ts';

interface Run {
  readonly group: number;
  readonly sequence: number;
  readonly life?: number;
  readonly producer?: number;
  readonly producerSequence?: number;
}

function newState(seed = 0): PartitionState {
  return new PartitionState({ names: () => groupNames(seed), tailBytesMax: 10_000 });
}

function entry(index: number, data: Uint8Array, type: Entry['type'] = 'command'): Entry {
  return { index: index as Index, term: 1 as Term, type, data };
}

/** An append of one-message runs; groups not named before are declared as g0, g1, … */
function append(base: number, runs: readonly Run[], newGroups: readonly number[] = []): Uint8Array {
  const builder = new AppendBuilder();
  builder.begin(1_000 + base, base);
  for (const group of newGroups) {
    const name = Buffer.from(`g${group}`);
    builder.newGroup(group, name, 0, name.length);
  }
  for (const run of runs) {
    const place = run.producer === undefined ? 0 : builder.producer(run.producer, 1);
    builder.run(run.group, place, 1, run.life ?? 1, run.sequence, run.producerSequence ?? 1, 99, 3);
    builder.body(Uint8Array.of(0x7a, 1, 65));
  }
  return builder.finish();
}

function copyOf(state: PartitionState): PartitionState {
  const copy = newState(3);
  copy.restore([...state.image()]);
  return copy;
}

describe('the state of a partition', () => {
  it('follows appends, configurations and no-ops in log order', () => {
    const state = newState();
    const advanced: number[] = [];
    state.listen({ advanced: () => advanced.push(state.nextOffset) });
    state.apply([
      entry(1, new Uint8Array(0), 'noop'),
      entry(
        2,
        append(
          0,
          [
            { group: 0, sequence: 1 },
            { group: -1, sequence: 0 },
          ],
          [0],
        ),
      ),
      entry(3, new Uint8Array(4), 'configuration'),
      entry(4, append(2, [{ group: 0, sequence: 2 }])),
    ]);
    expect([state.appliedIndex, state.nextOffset, state.lastTimestamp]).toEqual([4, 3, 1_002]);
    expect(state.records.lastSequence(0)).toBe(2);
    expect(advanced).toEqual([3]);
  });

  it.each([
    ['an unknown version', Uint8Array.of(COMMAND_VERSION + 1, 1, 0, 0, 0, 0)],
    ['an unknown kind', Uint8Array.of(COMMAND_VERSION, 200)],
    ['a kind that is only reserved', Uint8Array.of(COMMAND_VERSION, 4)],
    ['a header that runs over', Uint8Array.of(COMMAND_VERSION, 1, 255, 0, 0, 0)],
    ['a wrong base offset', append(5, [{ group: -1, sequence: 0 }])],
    ['a group it does not know', append(0, [{ group: 3, sequence: 1 }])],
    ['a group number that is not the next', append(0, [{ group: 1, sequence: 1 }], [1])],
    ['a gap in a group', append(0, [{ group: 0, sequence: 2 }], [0])],
    ['nothing at all', new Uint8Array(0)],
  ])('stops its shard at %s', (_name, data) => {
    expect(() => newState().apply([entry(1, data)])).toThrow(ShardFault);
  });

  it('stops its shard at a hole in the log', () => {
    const state = newState();
    state.apply([entry(1, new Uint8Array(0), 'noop')]);
    expect(() => state.apply([entry(3, new Uint8Array(0), 'noop')])).toThrow(/behind applied index 1/);
  });

  it('describes entries alike from memory and from bytes', () => {
    const state = newState();
    const runs = [
      { group: 1, sequence: 1 },
      { group: -1, sequence: 0 },
      { group: 0, sequence: 1 },
      { group: 1, sequence: 2 },
    ];
    const first = entry(1, append(0, runs, [0, 1]));
    state.apply([first]);
    const expected = { offset: 0, count: 4, timestamp: 1_000, groups: [1, 0] };
    expect(state.describe(first)).toEqual(expected);
    expect(newState().describe(first)).toEqual(expected);
    expect(state.describe(entry(2, new Uint8Array(0), 'noop'))).toBeNull();
    expect(
      state.describe(entry(2, encodeRemoveBefore({ timestamp: 1, lowWatermark: 0, firstIndex: 1 }))),
    ).toBeNull();
  });

  it('displaces the writer idle longest, also the inline one, and remembers the highest id displaced', () => {
    const state = newState();
    let index = 1;
    let offset = 0;
    const write = (producer: number, producerSequence: number): void => {
      const run = { group: 0, sequence: offset + 1, producer, producerSequence };
      state.apply([entry(index++, append(offset++, [run], offset === 1 ? [0] : []))]);
    };
    for (let producer = 1; producer <= GROUP_WRITERS_MAX; producer++) write(producer, 1);
    write(2, 2);
    expect([state.records.writerCount(0), state.records.displacedProducer(0)]).toEqual([
      GROUP_WRITERS_MAX,
      0,
    ]);
    write(100, 1);
    expect(state.records.writer(0, 1)).toBeNull();
    expect(state.records.displacedProducer(0)).toBe(1);
    write(101, 1);
    expect(state.records.writer(0, 2)).not.toBeNull();
    expect(state.records.writer(0, 3)).toBeNull();
    expect([state.records.writerCount(0), state.records.displacedProducer(0)]).toEqual([
      GROUP_WRITERS_MAX,
      3,
    ]);
    expect(copyOf(state).hash()).toBe(state.hash());
  });

  it('forgets all writers of a group when its next life begins', () => {
    const state = newState();
    const writers = [7, 8, 9].map((producer, at) => ({ group: 0, sequence: at + 1, producer }));
    state.apply([entry(1, append(0, writers, [0]))]);
    expect(state.records.writerCount(0)).toBe(3);
    state.apply([entry(2, append(3, [{ group: 0, sequence: 1, life: 5, producer: 8 }]))]);
    expect([7, 8, 9].map((producer) => state.records.writer(0, producer) !== null)).toEqual([
      false,
      true,
      false,
    ]);
    expect(state.records.writerCount(0)).toBe(1);
  });

  it('removes by command: the low watermark and the first index only rise', () => {
    const state = newState();
    const removed: number[][] = [];
    state.listen({ removed: (low, first) => removed.push([low, first]) });
    state.apply([
      entry(
        1,
        append(0, [
          { group: -1, sequence: 0 },
          { group: -1, sequence: 0 },
        ]),
      ),
    ]);
    state.apply([entry(2, encodeRemoveBefore({ timestamp: 1, lowWatermark: 2, firstIndex: 2 }))]);
    state.apply([entry(3, encodeRemoveBefore({ timestamp: 1, lowWatermark: 1, firstIndex: 1 }))]);
    expect(removed).toEqual([
      [2, 2],
      [2, 2],
    ]);
    expect([state.lowWatermark, state.firstIndex]).toEqual([2, 2]);
    const beyond = encodeRemoveBefore({ timestamp: 1, lowWatermark: 9, firstIndex: 1 });
    expect(() => state.apply([entry(4, beyond)])).toThrow(ShardFault);
  });
});

describe('the image of a partition', () => {
  it('gives the same state back, and the same from then on', () => {
    const state = newState();
    const names = Array.from({ length: 5_000 }, (_, group) => group);
    const runs = names.map((group) => ({ group, sequence: 1, producer: group % 3 === 0 ? 7 : 8 }));
    state.apply([entry(1, append(0, runs, names))]);
    state.records.setIntervals(4, [{ partition: 3, firstSequence: 1, lastSequence: 17 }]);
    const more = names.slice(0, 50).map((group) => ({ group, sequence: 2, producer: 9 }));
    state.apply([entry(2, append(5_000, more))]);
    const chunks = [...state.image()];
    expect(chunks.length).toBeGreaterThan(1);
    expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(IMAGE_CHUNK_BYTES_MAX);
    const copy = copyOf(state);
    expect(copy.hash()).toBe(state.hash());
    expect(copy.records.intervals(4)).toEqual([{ partition: 3, firstSequence: 1, lastSequence: 17 }]);
    const next = entry(3, append(5_050, [{ group: 4_999, sequence: 2, producer: 8, producerSequence: 2 }]));
    state.apply([next]);
    expect(copy.hash()).not.toBe(state.hash());
    copy.apply([next]);
    expect(copy.hash()).toBe(state.hash());
  });

  it('holds the moment it was asked for, also when it is taken later', () => {
    const state = newState();
    state.apply([entry(1, append(0, [{ group: 0, sequence: 1, producer: 5 }], [0]))]);
    const hash = state.hash();
    const image = state.image();
    state.apply([
      entry(
        2,
        append(
          1,
          [
            { group: 0, sequence: 2, producer: 6 },
            { group: 1, sequence: 1 },
          ],
          [1],
        ),
      ),
    ]);
    const copy = newState();
    copy.restore([...image]);
    expect(copy.hash()).toBe(hash);
  });

  it('is refused when its version is unknown, or it ends early', () => {
    const state = newState();
    state.apply([entry(1, append(0, [{ group: 0, sequence: 1 }], [0]))]);
    const bytes = Buffer.concat([...state.image()]);
    expect(() => newState().restore([Uint8Array.of(9), bytes])).toThrow(/version 9/);
    expect(() => newState().restore([bytes.subarray(0, -1)])).toThrow(ShardFault);
    expect(() => newState().restore([bytes, Uint8Array.of(0)])).toThrow(ShardFault);
  });

  it('tells of the new high watermark and of what retention removed', () => {
    const state = newState();
    state.apply([
      entry(1, append(0, [{ group: -1, sequence: 0 }])),
      entry(2, encodeRemoveBefore({ timestamp: 1, lowWatermark: 1, firstIndex: 2 })),
    ]);
    const copy = newState();
    const told: unknown[] = [];
    copy.listen({
      advanced: () => told.push(copy.nextOffset),
      removed: (low, first) => told.push([low, first]),
    });
    copy.restore([...state.image()]);
    expect(told).toEqual([1, [1, 2]]);
  });
});
