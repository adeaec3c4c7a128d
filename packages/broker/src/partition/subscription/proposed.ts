import type { Shard } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';

/**
 * Proposes a command in one synchronous step, which a RefusalError ends without a trace. The promise resolves when it is applied and rejects
 * with NOT_COMMITTED when leadership was lost before.
 */
export function proposed(shard: Pick<Shard, 'propose'>, data: Uint8Array): Promise<void> {
  const settled: { resolve: () => void; reject: (error: Error) => void } = {
    resolve: () => {},
    reject: () => {},
  };
  const committed = new Promise<void>((resolve, reject) => Object.assign(settled, { resolve, reject }));
  const result = shard.propose(data, (fate) => {
    if (fate.type === 'applied') return settled.resolve();
    const outcome = fate.type === 'overwritten' ? 'not-applied' : 'unknown';
    const message = 'leadership was lost before it was stored; ask the new leader';
    settled.reject(new RefusalError('NOT_COMMITTED', message, { outcome }));
  });
  if (result.type === 'accepted') return committed;
  if (result.reason === 'tooMuchUncommitted') {
    throw new RefusalError('OVERLOADED', 'too much is not committed yet in this partition; try again');
  }
  throw new RefusalError('NOT_LEADER', 'this replica does not lead the partition; ask its leader');
}
