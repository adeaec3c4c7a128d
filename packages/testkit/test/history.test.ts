import { History } from '@seriatim/testkit';
import { describe, expect, it } from 'vitest';

function threeAcknowledged(): History {
  const history = new History();
  for (const id of ['a', 'b', 'c']) history.sent('g', id);
  for (const [n, id] of ['a', 'b', 'c'].entries()) {
    history.acknowledged('g', id, { partition: 0, offset: n + 10, sequence: n + 1 });
  }
  return history;
}
const record = (id: string, offset: number, sequence: number) => ({
  group: 'g',
  id,
  partition: 0,
  offset,
  sequence,
});

describe('History', () => {
  it('gives what was read by group, in the order of sequences', () => {
    const history = threeAcknowledged();
    for (const [id, sequence] of [
      ['b', 2],
      ['a', 1],
      ['a', 1],
    ] as const)
      history.read(record(id, sequence + 9, sequence));
    expect([...history.stored()]).toEqual([['g', ['a', 'b']]]);
  });

  it('is clean when everything acknowledged is read once and in order', () => {
    const history = threeAcknowledged();
    for (const [n, id] of ['a', 'b', 'c'].entries()) history.read(record(id, n + 10, n + 1));
    history.read(record('a', 10, 1));
    expect(history.verdict()).toMatchObject({ clean: true, sent: 3, acknowledged: 3, read: 3 });
  });

  it('finds a lost message and the gap it leaves', () => {
    const history = threeAcknowledged();
    history.read(record('a', 10, 1));
    history.read(record('c', 12, 3));
    const verdict = history.verdict();
    expect(verdict.lost.map((f) => f.id)).toEqual(['b']);
    expect(verdict.gaps.map((f) => f.id)).toEqual(['c']);
    expect(verdict.clean).toBe(false);
  });

  it('finds a message stored twice', () => {
    const history = threeAcknowledged();
    for (const [n, id] of ['a', 'b', 'c', 'c'].entries()) history.read(record(id, n + 10, n + 1));
    expect(history.verdict().duplicated).toHaveLength(1);
    expect(history.verdict().lost).toHaveLength(0);
  });

  it("finds a producer's messages in another order than its calls", () => {
    const history = new History();
    history.sent('g', 'a');
    history.sent('g', 'b');
    history.read(record('b', 0, 1));
    history.read(record('a', 1, 2));
    expect(history.verdict().outOfOrder.map((f) => f.id)).toEqual(['a']);
  });

  it('finds an acknowledged message behind one that another producer sent later', () => {
    const history = new History();
    history.sent('g', 'a', 'p1');
    history.acknowledged('g', 'a', { partition: 0, offset: 1, sequence: 2 });
    history.sent('g', 'b', 'p2');
    history.read(record('b', 0, 1));
    history.read(record('a', 1, 2));
    expect(history.verdict().outOfOrder.map((f) => f.id)).toEqual(['a']);
  });

  it('finds what was never sent, what was refused for certain, and an offset that changed', () => {
    const history = new History();
    history.sent('g', 'a');
    history.failed('g', 'a');
    history.read(record('a', 0, 1));
    history.read(record('x', 1, 2));
    history.read(record('y', 1, 2));
    const verdict = history.verdict();
    expect(verdict.phantom.map((f) => f.id).sort()).toEqual(['a', 'x']);
    expect(verdict.changed.map((f) => f.id)).toEqual(['y']);
  });

  it('counts an open outcome as unknown, whether it was stored or not', () => {
    const history = new History();
    history.sent('g', 'a');
    history.sent('g', 'b');
    history.read(record('a', 0, 1));
    expect(history.verdict()).toMatchObject({ clean: true, unknown: 2, acknowledged: 0 });
  });
});
