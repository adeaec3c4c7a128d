import { describe, expect, it } from 'vitest';
import {
  decodeAppendAnswer,
  decodeAppendBatch,
  encodeAppendAnswer,
  encodeAppendBatch,
} from '../../src/partition/index.ts';
import { DEADLINE, leading, P1, P2, store } from './appending.ts';
import { batch } from './batches.ts';
import { receipt } from './setup.ts';

describe('compare-and-append', () => {
  it('stores one of two writers that expect the same sequence, and tells the other the current one', async () => {
    const setup = await leading();
    await store(setup, [{ group: 'a', values: ['1', '2'] }], { id: 0, epoch: 0 });
    const runs = [{ group: 'a', sequence: 1, expected: 3, values: ['mine'] }];
    const first = setup.partition.append(batch(runs, P1), DEADLINE);
    const second = setup.partition.append(batch(runs, P2), DEADLINE);
    setup.clock.turn();
    setup.shard.commit();
    setup.shard.confirmReads();
    expect(receipt(await first)).toMatchObject({ status: [0], firstSequence: [3] });
    expect(receipt(await second).errors).toMatchObject([{ code: 'SEQUENCE_CONFLICT', currentSequence: 3 }]);
  });

  it('answers a repetition of what was stored with its receipt, whatever came since', async () => {
    const setup = await leading();
    const runs = [{ group: 'a', sequence: 1, expected: 1, values: ['mine'] }];
    await store(setup, runs);
    await store(setup, [{ group: 'a', values: ['other'] }], { id: 0, epoch: 0 });
    expect(await store(setup, runs)).toMatchObject({ status: [1], firstSequence: [1], errors: [] });
  });

  it('holds for a group that has nothing yet, and leaves no trace where it refuses', async () => {
    const setup = await leading();
    const refused = await store(setup, [{ group: 'a', sequence: 1, expected: 2, values: ['x'] }]);
    expect(refused.errors).toMatchObject([{ code: 'SEQUENCE_CONFLICT', currentSequence: 0 }]);
    expect(setup.partition.group('a')).toBeNull();
    const stored = await store(setup, [{ group: 'a', sequence: 1, expected: 1, values: ['x'] }]);
    expect(stored).toMatchObject({ status: [0], firstSequence: [1] });
    // The writer's number was not used up by the refusal.
    expect((await store(setup, [{ group: 'a', sequence: 2, values: ['y'] }])).status).toEqual([0]);
  });

  it('refuses only the run that expects something else', async () => {
    const setup = await leading();
    const answer = await store(setup, [
      { group: 'a', sequence: 1, expected: 9, values: ['x'] },
      { group: 'b', sequence: 1, values: ['y'] },
      { group: 'c', sequence: 1, expected: 1, values: ['z'] },
    ]);
    expect(answer.status).toEqual([2, 0, 0]);
  });

  it('travels between nodes, in the first version where nothing is expected', () => {
    const plain = batch([{ group: 'a', sequence: 1, values: ['x'] }], P1);
    const expecting = batch([{ group: 'a', sequence: 1, expected: 4, values: ['x'] }], P1);
    const bytes = (one: typeof plain) => Buffer.concat(encodeAppendBatch(one));
    expect([bytes(plain)[0], bytes(expecting)[0]]).toEqual([1, 2]);
    expect(decodeAppendBatch(bytes(expecting)).expectedSequence).toEqual([4]);
    expect(decodeAppendBatch(bytes(plain)).expectedSequence).toBeUndefined();
    const rows = { timestamp: 1, status: [2, 2], firstOffset: [0, 0], firstSequence: [0, 0] };
    const error = { run: 0, code: 'SEQUENCE_CONFLICT', message: 'no', currentSequence: 0 } as const;
    const other = { run: 1, code: 'SEQUENCE_GAP', message: 'gap' } as const;
    const answer = { type: 'receipt', ...rows, errors: [error, other] } as const;
    expect(
      decodeAppendAnswer(
        encodeAppendAnswer({
          ...answer,
          errors: [...answer.errors],
          status: [2, 2],
          firstOffset: [0, 0],
          firstSequence: [0, 0],
        }),
      ),
    ).toEqual(answer);
  });
});
