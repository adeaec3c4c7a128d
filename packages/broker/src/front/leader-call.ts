/** A question to the node that leads a partition, given up when it ceases to lead. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { FrontPorts } from './ports.ts';

/** A leader that hands over in order has this long to answer what it had taken, milliseconds. */
const HANDOVER_MILLISECONDS = 100;

/** What is asked of whom. */
export interface LeaderQuestion {
  readonly shard: ShardId;
  /** Leads the shard, as this node knows. */
  readonly leader: NodeId;
  /** Kind of the peer request. */
  readonly kind: number;
  readonly parts: readonly Uint8Array[];
  /** Monotonic milliseconds. */
  readonly deadline: number;
}

/**
 * A frozen leader answers nothing until its connection is given up; that another node leads, or the partition is without leader, is
 * known sooner. Then this rejects with NOT_LEADER: what the silent one did is unknown, and the caller may ask the new one. Rejects else
 * as the call between nodes does.
 */
export function callLeader(
  ports: Pick<FrontPorts, 'leaders' | 'clock' | 'calls'>,
  question: LeaderQuestion,
): Promise<Uint8Array> {
  const { leaders, clock, calls } = ports;
  const { shard, leader, kind, parts, deadline } = question;
  return new Promise((resolve, reject) => {
    let cancel: (() => void) | null = null;
    const giveUp = (): void => {
      end();
      const message = `node ${leader} ceased to lead the partition and had not answered`;
      reject(new RefusalError('NOT_LEADER', message, { outcome: 'unknown' }));
    };
    const end = leaders.onChange((changed) => {
      if (changed !== shard || cancel !== null || leaders.leader(shard)?.node === leader) return;
      cancel = clock.after(HANDOVER_MILLISECONDS, giveUp);
    });
    const over = (): void => {
      end();
      cancel?.();
    };
    calls.call(leader, kind, parts, deadline).finally(over).then(resolve, reject);
  });
}
