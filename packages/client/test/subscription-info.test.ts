import { expect, it } from 'vitest';
import { SubscriptionAdmin } from '../src/subscription-admin.ts';
import { startFields } from '../src/subscription-info.ts';

const WRONG = [{ offset: -1 }, { offset: 0.5 }, { time: -1 }, { time: new Date('no time') }];

it.each(WRONG)('says that %j is no start', (start) => {
  expect(() => startFields(start)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

it.each(WRONG)('rejects a reset to %j instead of throwing at once', async (start) => {
  const admin = new SubscriptionAdmin({ endpoints: ['127.0.0.1:1'] });
  let reset: Promise<unknown> | null = null;
  expect(() => {
    reset = admin.reset('t', 's', start);
  }).not.toThrow();
  await expect(reset).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  admin.close();
});
