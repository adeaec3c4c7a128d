/** What the meta leader asks of a node: to hand a leadership over, to say what it still holds, to change a shard's members. */
import type { Clock, NodeId, Shard, ShardId } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Configuration, ReplicaId } from '@seriatim/raft';
import { type PeerCalls, REQUEST_META_ADMIN } from '../contracts.ts';
import { type Fields, flag, MetaFormatError, parseFields, text, whole, wholes } from './fields.ts';

/** A question of the meta leader; each may be asked again with the same effect. */
export type AgentQuestion =
  /** Hand the leadership of `shard` to `to`, if that is a voter that is caught up. */
  | { readonly type: 'transfer'; readonly shard: ShardId; readonly to: ReplicaId }
  /** Which of these shards have files or a replica here? */
  | { readonly type: 'holds'; readonly shards: readonly ShardId[] }
  /** Take the next step from the members that `shard` has to these. */
  | {
      readonly type: 'converge';
      readonly shard: ShardId;
      readonly voters: readonly ReplicaId[];
      readonly learners: readonly ReplicaId[];
    };

/** `done`: nothing is left to do. `reason` says for people what is waited for. `shards`: those held. */
export interface AgentAnswer {
  readonly done: boolean;
  readonly reason: string;
  readonly shards: readonly ShardId[];
}

/** What the agent needs of its node. */
export interface NodeAgentOptions {
  readonly node: NodeId;
  readonly clock: Clock;
  readonly calls: PeerCalls;
  readonly shard: (id: ShardId) => Shard | undefined;
  /** True while the shard has a replica or files on this node. */
  readonly holds: (id: ShardId) => boolean;
}

/** Entries that a follower may be behind the commit index and still be given the leadership or a vote. */
const BEHIND_ENTRIES_MAX = 64;

const done = (reason: string): AgentAnswer => ({ done: true, reason, shards: [] });
const pending = (reason: string): AgentAnswer => ({ done: false, reason, shards: [] });

/** Answers questions, and asks those of other nodes. */
export class NodeAgent {
  readonly #options: NodeAgentOptions;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    options.calls.handle(REQUEST_META_ADMIN, async (_from, body) => {
      let question: AgentQuestion;
      try {
        question = decodeQuestion(body);
      } catch (error) {
        throw new RefusalError('INVALID_REQUEST', String(error));
      }
      return [new TextEncoder().encode(JSON.stringify(this.answer(question)))];
    });
  }

  /** Asks a node (also this one). Rejects with a {@link RefusalError} when it can't be reached by `deadline`. */
  async ask(node: NodeId, question: AgentQuestion, deadline: number): Promise<AgentAnswer> {
    if (node === this.#options.node) return this.answer(question);
    const body = new TextEncoder().encode(JSON.stringify(question));
    return decodeAnswer(node, await this.#options.calls.call(node, REQUEST_META_ADMIN, [body], deadline));
  }

  /** Answers a question about this node. */
  answer(question: AgentQuestion): AgentAnswer {
    switch (question.type) {
      case 'transfer':
        return this.#transfer(question.shard, question.to);
      case 'holds': {
        const shards = question.shards.filter((shard) => this.#options.holds(shard));
        return { done: shards.length === 0, reason: `${shards.length} shards held`, shards };
      }
      case 'converge':
        return this.#converge(question.shard, question.voters, question.learners);
    }
  }

  #transfer(id: ShardId, to: ReplicaId): AgentAnswer {
    const shard = this.#options.shard(id);
    if (shard === undefined) return pending(`no replica of shard ${id} here`);
    const status = shard.status();
    if (status.role !== 'leader') return pending(`shard ${id} is not led here`);
    if (status.replica === to) return done(`shard ${id} is led by replica ${to} already`);
    if (!status.configuration.voters.includes(to)) return pending(`replica ${to} is not a voter`);
    const reason = behind(shard, to);
    if (reason !== null) return pending(reason);
    const refusal = shard.transfer(to);
    return refusal === null ? done(`shard ${id} is handed to replica ${to}`) : pending(refusal);
  }

  /** One step: learners for the members that are missing, then, when these are caught up, the members wanted. */
  #converge(id: ShardId, voters: readonly ReplicaId[], learners: readonly ReplicaId[]): AgentAnswer {
    const shard = this.#options.shard(id);
    if (shard === undefined) return pending(`no replica of shard ${id} here`);
    const { role, configuration } = shard.status();
    if (role !== 'leader') return pending(`shard ${id} is not led here`);
    if (configuration.outgoing.length > 0) return pending('a change of members is under way');
    if (same(configuration.voters, voters) && same(configuration.learners, learners))
      return done('members are as wanted');
    const known = [...configuration.voters, ...configuration.learners];
    const missing = [...voters, ...learners].filter((replica) => !known.includes(replica));
    if (missing.length > 0) {
      const wanted = {
        voters: configuration.voters,
        learners: [...keep(configuration, voters, learners), ...missing],
      };
      return this.#change(shard, wanted.voters, wanted.learners);
    }
    for (const replica of voters) {
      if (configuration.voters.includes(replica)) continue;
      const reason = behind(shard, replica);
      if (reason !== null) return pending(reason);
    }
    return this.#change(shard, voters, learners);
  }

  #change(shard: Shard, voters: readonly ReplicaId[], learners: readonly ReplicaId[]): AgentAnswer {
    const result = shard.change({ voters, learners }, () => {});
    return pending(result.type === 'accepted' ? 'a change of members has begun' : result.reason);
  }
}

/** Learners that stay: those that are wanted as anything. */
function keep(
  configuration: Configuration,
  voters: readonly ReplicaId[],
  learners: readonly ReplicaId[],
): readonly ReplicaId[] {
  return configuration.learners.filter((replica) => voters.includes(replica) || learners.includes(replica));
}

/** Why a follower is not ready to lead or vote, or null. */
function behind(shard: Shard, replica: ReplicaId): string | null {
  const { commit, progress } = shard.status();
  const follower = progress.find((candidate) => candidate.replica === replica);
  if (follower === undefined || !follower.active) return `replica ${replica} does not answer`;
  if (follower.state === 'snapshot') return `replica ${replica} is receiving an image`;
  const entries = commit - follower.match;
  return entries > BEHIND_ENTRIES_MAX ? `replica ${replica} is ${entries} entries behind` : null;
}

function same(left: readonly ReplicaId[], right: readonly ReplicaId[]): boolean {
  return left.length === right.length && left.every((replica) => right.includes(replica));
}

function decodeAnswer(node: NodeId, body: Uint8Array): AgentAnswer {
  try {
    const from = parseFields(body, 'answer to the meta leader');
    return {
      done: flag(from, 'done'),
      reason: text(from, 'reason'),
      shards: wholes(from, 'shards') as ShardId[],
    };
  } catch (error) {
    throw new RefusalError('INTERNAL', `node ${node}: ${String(error)}`, {
      outcome: 'unknown',
      cause: error,
    });
  }
}

function decodeQuestion(body: Uint8Array): AgentQuestion {
  const from: Fields = parseFields(body, 'question of the meta leader');
  const type = text(from, 'type');
  switch (type) {
    case 'transfer':
      return { type, shard: whole(from, 'shard') as ShardId, to: whole(from, 'to') as ReplicaId };
    case 'holds':
      return { type, shards: wholes(from, 'shards') as ShardId[] };
    case 'converge':
      return {
        type,
        shard: whole(from, 'shard') as ShardId,
        voters: wholes(from, 'voters') as ReplicaId[],
        learners: wholes(from, 'learners') as ReplicaId[],
      };
    default:
      throw new MetaFormatError(`the unknown question "${type}": upgrade this node`);
  }
}
