import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { IdleWatch } from '../src/idle-watch.ts';

const IDLE = 100;
const PATIENCE = 1000;
let said: string[];
let partitions: number;
let doubt: string | null;
let asked: number;
let watch: IdleWatch;

beforeEach(() => {
  vi.useFakeTimers();
  said = [];
  partitions = 2;
  doubt = null;
  asked = 0;
  watch = new IdleWatch({
    idleMilliseconds: IDLE,
    patienceMilliseconds: PATIENCE,
    partitions: () => partitions,
    confirm: async () => {
      asked++;
      return doubt;
    },
    over: (failure) => said.push(failure?.message ?? 'idle'),
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

test('nothing is decided before the first attachment', async () => {
  watch.waiting();
  await pass(100 * PATIENCE);
  expect(said).toEqual([]);
});

test('idle time begins when the last partition is attached, and anew with each message', async () => {
  watch.attached(0, 'a');
  await pass(5 * IDLE);
  watch.attached(1, 'b');
  await pass(IDLE - 1);
  watch.busy();
  await pass(10 * IDLE);
  watch.waiting();
  await pass(IDLE - 1);
  expect(said).toEqual([]);
  await pass(1);
  expect(said).toEqual(['idle']);
  await pass(100 * PATIENCE);
  expect(said).toEqual(['idle']);
});

test('a partition that moves is attached as long as either leader serves it', async () => {
  watch.attached(0, 'a');
  watch.attached(1, 'b');
  watch.attached(1, 'a');
  watch.detached(1, 'b');
  await pass(IDLE);
  expect(said).toEqual(['idle']);
});

test('no idle time counts while a partition is detached, and the time before is forgotten', async () => {
  watch.attached(0, 'a');
  watch.attached(1, 'b');
  await pass(IDLE - 1);
  watch.detached(0, 'a');
  watch.detached(1, 'b');
  await pass(5 * IDLE);
  watch.attached(1, 'b');
  watch.attached(0, 'b');
  await pass(IDLE - 1);
  expect(said).toEqual([]);
  await pass(1);
  expect(said).toEqual(['idle']);
});

test('a partition that is lacking for too long is named, however often others come and go', async () => {
  watch.attached(0, 'a');
  for (let time = 0; time < PATIENCE; time += 50) {
    expect(said).toEqual([]);
    watch.detached(0, 'a');
    watch.attached(0, 'a');
    await pass(50);
  }
  expect(said).toEqual([`not known whether anything is left, for ${PATIENCE} ms: nobody serves partition 1`]);
});

test('messages of the others are reason to wait on', async () => {
  watch.attached(0, 'a');
  for (let time = 0; time < 5 * PATIENCE; time += 500) {
    await pass(500);
    watch.busy();
    watch.waiting();
  }
  expect(said).toEqual([]);
});

test('partitions that were not known when the time began are waited for', async () => {
  watch.attached(0, 'a');
  watch.attached(1, 'b');
  partitions = 3;
  await pass(5 * IDLE);
  expect(said).toEqual([]);
  watch.attached(2, 'a');
  await pass(IDLE);
  expect(said).toEqual(['idle']);
});

test('a cluster that gives no word is asked again, and not for ever', async () => {
  watch.attached(0, 'a');
  watch.attached(1, 'b');
  doubt = 'partition 1: NO_LEADER';
  await pass(3 * IDLE);
  expect([asked, said]).toEqual([3, []]);
  await pass(PATIENCE);
  expect(said).toEqual([`not known whether anything is left, for ${PATIENCE} ms: partition 1: NO_LEADER`]);
});

test('what the cluster says does not count when a message came meanwhile', async () => {
  watch.attached(0, 'a');
  watch.attached(1, 'b');
  vi.advanceTimersByTime(IDLE);
  expect(asked).toBe(1);
  watch.busy();
  await pass(5 * IDLE);
  expect(said).toEqual([]);
});
