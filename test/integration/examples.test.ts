/** The examples, run as a reader of the README would. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.ts';
import { repository } from '../support/source-files.ts';

let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
});
afterAll(() => cluster?.destroy());

async function run(example: string): Promise<string> {
  const env = { ...process.env, SERIATIM_ENDPOINTS: cluster.endpoints.join(',') };
  const program = join(repository, 'examples', `${example}.mjs`);
  const { stdout } = await promisify(execFile)(process.execPath, [program], { env, timeout: 60_000 });
  return stdout;
}

describe('the example of', () => {
  it('orders finds every event in its order', async () => {
    expect(await run('orders')).toMatch(/200 orders delivered, 0 events out of order/);
  });
  it('transfers finds every balance to follow from the one before', async () => {
    expect(await run('transfers')).toMatch(/0 balances wrong; the accounts hold 50000 together/);
  });
  it('workers books every account in order, and one waits until somebody decides', async () => {
    const said = await run('workers');
    expect(said).toMatch(/account-7 waits at payment 5 with 15 behind it: "no number" can't be booked/);
    expect(said).toMatch(/999 payments of 50 accounts booked, 0 accounts out of order/);
  });
  it('a game shows watchers the boards of the players', async () => {
    expect(await run('game')).toMatch(/100 of 100 boards are the players' own, 0 moves out of order/);
  });
});
