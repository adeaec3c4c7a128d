/** What the tests of a partition's leader share: producers, and appending with and without committing. */
import { batch, type RunSpec } from './batches.ts';
import { receipt, type Setup, setUp } from './setup.ts';

export const P1 = { id: 11, epoch: 1 };
export const P2 = { id: 12, epoch: 1 };
export const DEADLINE = 10_000;

export async function leading(config: Parameters<typeof setUp>[0] = {}): Promise<Setup> {
  const setup = await setUp(config);
  setup.shard.leadConfirmed();
  return setup;
}

export function send({ partition }: Setup, runs: readonly RunSpec[], producer = P1): Promise<unknown> {
  return partition.append(batch(runs, producer), DEADLINE);
}

/** Appends and commits. */
export async function store(setup: Setup, runs: readonly RunSpec[], producer = P1) {
  const answer = setup.partition.append(batch(runs, producer), DEADLINE);
  setup.clock.turn();
  setup.shard.commit();
  setup.shard.confirmReads();
  return receipt(await answer);
}
