/** The way back of a node that lost its disk: it asks the meta leader for new replica ids. */
import type { Clock, NodeId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { ReplicaId } from '@seriatim/raft';
import { type PeerCalls, REQUEST_META_COMMAND, type ReplicaPlacement } from '../contracts.ts';
import { encodeCommand } from './command-codec.ts';
import { pauseUnless } from './deadline.ts';
import { MetaFormatError } from './fields.ts';
import { decodeApplied } from './result-codec.ts';

/** What {@link askReplacement} needs of its node. */
export interface RejoinOptions {
  readonly clock: Clock;
  readonly node: NodeId;
  readonly peers: readonly NodeId[];
  readonly calls: PeerCalls;
  /** A word that no other request has. */
  readonly token: string;
  /** Told why it is not done yet. */
  readonly onWait: (reason: string) => void;
  /** Milliseconds that one question may take (2,000), and the pause between rounds (500). */
  readonly callMilliseconds?: number;
  readonly roundMilliseconds?: number;
}

/** This node's new meta replica, to be opened with an empty configuration; the other new replicas have higher ids. */
export interface Replacement {
  readonly replica: ReplicaId;
  /** Where the meta replicas are, for {@link MetaState.tellMembers}. */
  readonly members: readonly ReplicaPlacement[];
}

/** Asks one peer after the other until the meta leader has taken the command; ends with SHUTTING_DOWN when `signal` aborts. */
export async function askReplacement(options: RejoinOptions, signal: AbortSignal): Promise<Replacement> {
  const { clock, node, peers, calls, token } = options;
  while (!signal.aborted) {
    for (const peer of peers) {
      const command = { type: 'replaceReplicas', node, token, time: clock.wallTime() } as const;
      try {
        const deadline = clock.now() + (options.callMilliseconds ?? 2_000);
        const body = await calls.call(peer, REQUEST_META_COMMAND, [encodeCommand(command)], deadline);
        const { result } = decodeApplied(body);
        if (result.type === 'replica') return { replica: result.replica, members: result.members };
        options.onWait(result.type === 'refused' ? result.message : `node ${peer} answered ${result.type}`);
      } catch (error) {
        if (!(error instanceof RefusalError || error instanceof MetaFormatError)) throw error;
        options.onWait(`node ${peer}: ${error.message}`);
      }
    }
    await pauseUnless(clock, options.roundMilliseconds ?? 500, signal);
  }
  throw new RefusalError('SHUTTING_DOWN', 'the node was stopped before it got new replicas');
}
