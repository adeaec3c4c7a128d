/** What befalls producers, in short; `npm run failover` takes longer and prints figures. */
import { expect, it } from 'vitest';
import { cutOff, frozen, killed, leaderless, lostAnswers } from './scenarios.ts';

/** Three election timeouts: a frozen node is replaced within them. */
const FROZEN_MILLISECONDS_MAX = 3_000;
const CUT_OFF_MILLISECONDS_MAX = 2_000;

it('a partition without a leader does not hold up the others', async () => {
  const { figures, wrong } = await leaderless(3);
  expect(wrong).toEqual([]);
  // The rate itself is a figure of `npm run failover`: this only tells going on from standing still.
  expect(figures['ratio']).toBeGreaterThan(0.5);
});

it('a client that is cut off from the leader only goes through another node', async () => {
  const { figures, wrong } = await cutOff();
  expect(wrong).toEqual([]);
  expect(figures['leaderMoved']).toBe(0);
  expect(figures['gapMilliseconds']).toBeLessThan(CUT_OFF_MILLISECONDS_MAX);
});

it('a frozen leader is replaced, and nothing is twice when it goes on', async () => {
  const { figures, wrong } = await frozen();
  expect(wrong).toEqual([]);
  expect(figures['gapMilliseconds']).toBeLessThan(FROZEN_MILLISECONDS_MAX);
});

it('leaders that are killed again and again cost no message and no order', async () => {
  const { wrong } = await killed(12);
  expect(wrong).toEqual([]);
});

it('a retry after a lost answer stores nothing twice and gets the original receipt', async () => {
  const { figures, wrong } = await lostAnswers(25, 5);
  expect(wrong).toEqual([]);
  expect(figures['repeatedAndRecognised']).toBeGreaterThan(0);
});
