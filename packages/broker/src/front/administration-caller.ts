/** Calls of a partition's administration for whoever asks on this node, and answers to the other nodes' calls. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { answerAdministration, remoteAdministration } from '../partition/index.ts';
import {
  type AdministrationCaller,
  type PartitionAdministration,
  REQUEST_SUBSCRIPTION,
} from '../subscription-contracts.ts';
import { callLeader } from './leader-call.ts';
import type { FrontPorts } from './ports.ts';

/** What calls need of their node. */
export type AdministrationPorts = Pick<FrontPorts, 'node' | 'clock' | 'leaders' | 'partitions' | 'calls'>;

/** Answers the calls of other nodes; this node's partition says itself when it does not lead. */
export function serveAdministration(ports: AdministrationPorts): void {
  ports.calls.handle(REQUEST_SUBSCRIPTION, (_from, body, deadline) =>
    answerAdministration(body, deadline, (shard) => ports.partitions.get(shard)?.administration),
  );
}

/**
 * Goes to the partition on this node where that leads, else by one question to the leader, given up with NOT_LEADER when the asked node
 * leads no more. It never tries again: a step may be repeated, an operator's action may not.
 */
export class LeaderAdministration implements AdministrationCaller {
  readonly #ports: AdministrationPorts;

  constructor(ports: AdministrationPorts) {
    this.#ports = ports;
  }

  leader(shard: ShardId): NodeId | undefined {
    return this.#ports.leaders.leader(shard)?.node;
  }

  /** For one call, at once: who leads is looked up here. */
  at(shard: ShardId): PartitionAdministration {
    const { node, partitions } = this.#ports;
    const own = this.leader(shard) === node ? partitions.get(shard)?.administration : undefined;
    return own ?? remoteAdministration(shard, (parts, deadline) => this.#ask(shard, parts, deadline));
  }

  async #ask(shard: ShardId, parts: readonly Uint8Array[], deadline: number): Promise<Uint8Array> {
    const leader = this.leader(shard);
    if (leader === undefined) {
      throw new RefusalError('NO_LEADER', `shard ${shard} has no leader that this node knows of; try again`);
    }
    if (leader === this.#ports.node) {
      throw new RefusalError(
        'NOT_LEADER',
        `shard ${shard} is led here, but its replica is not open; try again`,
      );
    }
    return callLeader(this.#ports, { shard, leader, kind: REQUEST_SUBSCRIPTION, parts, deadline });
  }
}
