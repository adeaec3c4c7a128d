import { expect, it } from 'vitest';
import { runChaos } from './chaos.ts';

it('loses, repeats and reorders nothing, stored or consumed, while leaders are killed and started again under load', async () => {
  const { verdict, handled, faults, problems } = await runChaos({ seconds: 60, seed: 7, log: () => {} });
  expect(problems).toEqual([]);
  expect(verdict.clean).toBe(true);
  expect(verdict.acknowledged).toBeGreaterThan(1_000);
  expect(handled.acked).toBe(verdict.read);
  expect(faults.get('kill a partition leader') ?? 0).toBeGreaterThan(0);
  expect(faults.get('kill the meta leader') ?? 0).toBeGreaterThan(0);
}, 240_000);
