import { expect, test } from 'vitest';
import { startOf } from '../src/subscription-program.ts';

test.each([
  ['earliest', 'earliest'],
  ['latest', 'latest'],
  ['0', { offset: 0 }],
  ['123456', { offset: 123_456 }],
  ['2026-01-31T12:00:00Z', { time: Date.UTC(2026, 0, 31, 12) }],
  ['2026-01-31', { time: Date.UTC(2026, 0, 31) }],
])('%s is a place', (text, place) => {
  expect(startOf(text)).toEqual(place);
});

test.each(['', 'first', '-1', '1.5', 'yesterday', '2026-13-01T00:00:00Z', '99999999999999999'])(
  '%j is not a place',
  (text) => {
    expect(() => startOf(text)).toThrow(/earliest, latest, an offset, or a time/);
  },
);
