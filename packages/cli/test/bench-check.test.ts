import { beforeEach, describe, expect, test } from 'vitest';
import { DeliveredOrder, StoredOrder } from '../src/bench-check.ts';

describe('what is delivered', () => {
  let order: DeliveredOrder;
  beforeEach(() => {
    order = new DeliveredOrder(new Uint32Array(2));
  });
  /** Places of group 0, whose sequences are one above; says which are new. */
  const take = (...places: number[]): boolean[] => places.map((place) => takeOne(place));
  const takeOne = (place: number, attempt = 1, sequence = place + 1, group = 0): boolean =>
    order.take({ group, place, sequence, attempt });
  const found = () => [order.messages, order.repeats, order.violations];

  test('in order is in order', () => {
    expect(take(0, 1, 2)).toEqual([true, true, true]);
    takeOne(0, 1, 1, 1);
    expect(found()).toEqual([4, 0, 0]);
  });

  test('an attempt above 1 begins a repetition, which is counted and is no violation', () => {
    take(0, 1, 2);
    expect(takeOne(1, 2)).toBe(false);
    expect(take(2, 3)).toEqual([false, true]);
    expect(found()).toEqual([4, 2, 0]);
  });

  test('after a lost hold the group may go back, once, and only this group', () => {
    take(0, 1);
    order.lost(0);
    take(0, 1, 2);
    expect(found()).toEqual([3, 2, 0]);
    order.lost(1);
    take(1);
    expect(found()).toEqual([3, 2, 1]);
  });

  test('a hold that was lost with all acknowledged excuses nothing later', () => {
    take(0, 1);
    order.lost(0);
    take(2, 0);
    expect(found()).toEqual([3, 0, 1]);
  });

  test('going back without a reason is a violation, not a repeat', () => {
    take(0, 1, 0);
    expect(found()).toEqual([2, 0, 1]);
  });

  test('leaving one out is a violation, also within a repetition', () => {
    take(0, 2);
    expect(found()).toEqual([2, 0, 1]);
    takeOne(0, 2);
    take(2);
    expect(found()).toEqual([2, 2, 2]);
  });

  test('what could not be stored has no sequence, so that leaving it out is in order', () => {
    take(0);
    takeOne(3, 1, 2);
    expect(found()).toEqual([2, 0, 0]);
  });

  test('behind a first place that could not be stored is in order: it had no sequence', () => {
    const behind = (sequence: number): number => {
      const later = new DeliveredOrder(Uint32Array.of(1), Float64Array.of(7));
      expect(later.take({ group: 0, place: 2, sequence, attempt: 1 })).toBe(true);
      return later.violations;
    };
    expect([behind(8), behind(9)]).toEqual([0, 1]);
  });

  test('says what is missing', () => {
    take(0, 1);
    expect(order.missing(Uint32Array.of(5, 0))).toEqual([{ group: 0, from: 2, messages: 3 }]);
    expect(new DeliveredOrder(Uint32Array.of(5, 1)).missing(Uint32Array.of(5, 1))).toEqual([]);
  });
});

describe('what is stored', () => {
  const violations = (complete: boolean, ...places: number[]): number => {
    const order = new StoredOrder(1, complete);
    places.forEach((place, index) => {
      order.take(0, place, index + 1);
    });
    return order.violations(Uint32Array.of(3));
  };

  test.each([
    [true, [0, 1, 2], 0],
    [true, [0, 1], 1],
    [true, [0, 2], 1],
    [true, [0, 0, 1, 2], 1],
    [false, [0, 2], 0],
    [false, [0, 2, 1], 1],
  ])('complete %s, places %j: %i violations', (complete, places, expected) => {
    expect(violations(complete, ...places)).toBe(expected);
  });

  test('a gap of sequences is a violation', () => {
    const order = new StoredOrder(1, false);
    order.take(0, 0, 1);
    order.take(0, 1, 3);
    expect(order.violations(Uint32Array.of(2))).toBe(1);
  });
});
