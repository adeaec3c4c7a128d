/** Asks the peers until it is clear whether and how this node takes part. */
import type { Clock, NodeId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { pauseUnless } from './deadline.ts';
import { fields, MetaFormatError, parseFields, text, whole } from './fields.ts';
import {
  decideFormation,
  type FormationAnswer,
  type FormationDecision,
  type OwnIdentity,
} from './formation.ts';

/** How a node came to take part. */
export interface Formed {
  /** `started`: with the disk it has. `lostIdentity`: only with new replica ids, see {@link askReplacement}. */
  readonly type: 'started' | 'lostIdentity';
  readonly clusterId: string;
  /** The boot number to go on with: the node's own, or a higher one when it lost its identity. */
  readonly bootNumber: number;
  /** Peers that were formed when this node asked. */
  readonly formedPeers: readonly NodeId[];
}

/** What forming needs of its node. */
export interface FormingOptions {
  readonly clock: Clock;
  readonly node: NodeId;
  /** All configured nodes, with this one. */
  readonly configured: readonly NodeId[];
  readonly own: OwnIdentity;
  /** Asks a peer; null: no answer (yet). Must end by itself. */
  readonly ask: (peer: NodeId) => Promise<FormationAnswer | null>;
  /** A random cluster id. */
  readonly drawClusterId: () => string;
  /** Told once per change of decision, for the log and the readiness page. */
  readonly onDecision: (decision: FormationDecision) => void;
  /** Milliseconds between rounds of questions (200). */
  readonly roundMilliseconds?: number;
}

/**
 * Resolves when this node may take part, or is known to have lost its identity; while peers are missing or belong to another
 * cluster it goes on asking. Ends with a {@link RefusalError} SHUTTING_DOWN when `signal` aborts.
 */
export async function formCluster(options: FormingOptions, signal: AbortSignal): Promise<Formed> {
  const { clock, node, configured, own } = options;
  let told = '';
  while (!signal.aborted) {
    const answers = await askAll(options);
    const decision = decideFormation({ node, configured, own, answers });
    const words = JSON.stringify(decision);
    if (words !== told) options.onDecision(decision);
    told = words;
    const formedPeers = [...answers].filter(([, answer]) => answer.type === 'formed').map(([peer]) => peer);
    switch (decision.type) {
      case 'draw':
        return {
          type: 'started',
          clusterId: options.drawClusterId(),
          bootNumber: own.bootNumber,
          formedPeers,
        };
      case 'start':
        return { type: 'started', clusterId: decision.clusterId, bootNumber: own.bootNumber, formedPeers };
      case 'lostIdentity': {
        const { clusterId, bootNumber } = decision;
        return { type: 'lostIdentity', clusterId, bootNumber, formedPeers };
      }
      case 'wait':
      case 'mismatch':
        await pauseUnless(clock, options.roundMilliseconds ?? 200, signal);
    }
  }
  throw new RefusalError('SHUTTING_DOWN', 'the node was stopped before its cluster was formed');
}

async function askAll(options: FormingOptions): Promise<Map<NodeId, FormationAnswer>> {
  const answers = new Map<NodeId, FormationAnswer>();
  const peers = options.configured.filter((peer) => peer !== options.node);
  await Promise.all(
    peers.map(async (peer) => {
      const answer = await options.ask(peer).catch(() => null);
      if (answer !== null) answers.set(peer, answer);
    }),
  );
  return answers;
}

/** Bytes of an answer, for whatever carries it. */
export function encodeFormationAnswer(answer: FormationAnswer): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ version: 1, answer }));
}

/** Reads an answer; throws {@link MetaFormatError} when it is none. */
export function decodeFormationAnswer(bytes: Uint8Array): FormationAnswer {
  const answer = fields(parseFields(bytes, 'formation answer')['answer'], 'answer');
  const type = text(answer, 'type');
  switch (type) {
    case 'empty':
      return { type };
    case 'formed':
      return { type, clusterId: text(answer, 'clusterId'), seen: whole(answer, 'seen') };
    case 'lost':
      return { type, clusterId: text(answer, 'clusterId') };
    default:
      throw new MetaFormatError(`unknown formation answer "${type}": upgrade this node`);
  }
}
