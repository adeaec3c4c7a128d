import { describe, expect, it } from 'vitest';
import { SettlementAnswers, UNDECIDED_ROWS_MAX } from '../../src/front/settlement-answers.ts';

describe('answers to settlements of several partitions', () => {
  it('rise to the row before the first one that is not decided', () => {
    const answers = new SettlementAnswers();
    expect([answers.take(0), answers.take(1), answers.take(0), answers.take(1)]).toEqual([1, 2, 3, 4]);
    expect(answers.tell()).toBeNull();
    answers.decided(0, 3, [], []);
    expect(answers.tell()).toMatchObject({ settledRows: 1 });
    answers.decided(1, 2, [], []);
    expect(answers.tell()).toMatchObject({ settledRows: 3 });
    answers.decided(1, 4, [], []);
    expect(answers.tell()).toMatchObject({ settledRows: 4 });
    expect(answers.tell()).toBeNull();
  });

  it('name each refused row once, in order, at the latest when everything up to it is decided', () => {
    const answers = new SettlementAnswers();
    for (const partition of [0, 1, 0]) answers.take(partition);
    answers.decided(0, 0, [3], ['HOLD_LOST']);
    answers.refuseNext('NOT_LEADER');
    expect(answers.tell()).toEqual({
      settledRows: 0,
      refusedRows: [3, 4],
      refusedCodes: ['HOLD_LOST', 'NOT_LEADER'],
    });
    answers.decided(0, 3, [], []);
    answers.decided(1, 2, [2], ['SETTLEMENT_OUT_OF_ORDER']);
    expect(answers.tell()).toEqual({
      settledRows: 4,
      refusedRows: [2],
      refusedCodes: ['SETTLEMENT_OUT_OF_ORDER'],
    });
  });

  it('are not waited for without end', () => {
    const answers = new SettlementAnswers();
    answers.take(0);
    for (let row = 2; row <= UNDECIDED_ROWS_MAX; row++) answers.take(1);
    answers.decided(1, UNDECIDED_ROWS_MAX, [], []);
    expect(answers.tell()).toBeNull();
    const overloaded = expect.objectContaining({ code: 'OVERLOADED' });
    expect(() => answers.take(1)).toThrow(overloaded);
    expect(() => answers.refuseNext('NOT_LEADER')).toThrow(overloaded);
    answers.decided(0, 1, [], []);
    expect(answers.tell()).toMatchObject({ settledRows: UNDECIDED_ROWS_MAX });
    expect(answers.take(0)).toBe(UNDECIDED_ROWS_MAX + 1);
  });

  it('refuse what a partition will not decide any more, but not twice', () => {
    const answers = new SettlementAnswers();
    for (const partition of [0, 0, 1]) answers.take(partition);
    answers.decided(0, 0, [2], ['HOLD_LOST']);
    answers.tell();
    answers.abandon(0, 'NOT_LEADER');
    expect(answers.tell()).toEqual({ settledRows: 2, refusedRows: [1], refusedCodes: ['NOT_LEADER'] });
  });

  it('forget what is decided, however many rows there were', () => {
    const answers = new SettlementAnswers();
    for (let row = 1; row <= 20_000; row++) answers.take(0);
    answers.decided(0, 15_000, [], []);
    expect(answers.tell()).toMatchObject({ settledRows: 15_000 });
    answers.decided(0, 20_000, [], []);
    expect(answers.tell()).toMatchObject({ settledRows: 20_000 });
  });
});
