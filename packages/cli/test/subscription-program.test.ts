import { expect, test } from 'vitest';
import { groupName, startOf } from '../src/subscription-program.ts';

test.each([
  ['earliest', 'earliest'],
  ['latest', 'latest'],
  ['0', { offset: 0 }],
  ['123456', { offset: 123_456 }],
  ['2026-01-31T12:00:00Z', { time: Date.UTC(2026, 0, 31, 12) }],
  ['2026-01-31', { time: Date.UTC(2026, 0, 31) }],
  ['2026-01-31T12:00:00.25+02:00', { time: Date.UTC(2026, 0, 31, 10, 0, 0, 250) }],
  ['2028-02-29T00:00Z', { time: Date.UTC(2028, 1, 29) }],
])('%s is a place', (text, place) => {
  expect(startOf(text)).toEqual(place);
});

test.each([
  '',
  'first',
  '-1',
  '1.5',
  'yesterday',
  '2026-13-01T00:00:00Z',
  '99999999999999999',
  '2026-02-30',
  '2026-02-29T00:00:00Z',
  '2026-01-31 12:00',
  '2026-01-31 (noon)',
  '2026-01-31T25:00:00Z',
])('%j is not a place', (text) => {
  expect(() => startOf(text)).toThrow(/earliest, latest, an offset, or a time/);
});

test('an empty group, as of a variable that is not set, does not stand for all', () => {
  expect(groupName('a')).toBe('a');
  expect(() => groupName('')).toThrow(/leave --group out to mean all/);
});
