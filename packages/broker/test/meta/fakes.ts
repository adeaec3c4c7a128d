/** A meta cluster in one process: one log in memory, a hand-moved clock, calls between nodes that can be cut. */
import type { Clock, Fate, Leadership, NodeId, Shard, ShardId } from '@seriatim/multiraft';
import { META_SHARD } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Entry, Index, RaftStatus, ReplicaId, Term } from '@seriatim/raft';
import type { LeaderDirectory, PeerCalls } from '../../src/contracts.ts';
import { encodeCommand } from '../../src/meta/command-codec.ts';
import type { MetaCommand } from '../../src/meta/model.ts';
import { MetaState } from '../../src/meta/state.ts';

/** Time moves only by {@link advance}. */
export class ManualClock implements Clock {
  #now = 1_000;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }
  wallTime(): number {
    return 1_700_000_000_000 + this.#now;
  }
  after(milliseconds: number, run: () => void): () => void {
    const timer = { at: this.#now + milliseconds, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((candidate) => candidate !== timer);
    };
  }
  soon(run: () => void): void {
    setImmediate(run);
  }
  get timers(): number {
    return this.#timers.length;
  }

  /** Moves time on in steps of 10 ms, with everything settled in between. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await settle();
    while (this.#now < end) {
      this.#now = Math.min(end, this.#now + 10);
      const due = this.#timers.filter(({ at }) => at <= this.#now).sort((left, right) => left.at - right.at);
      this.#timers = this.#timers.filter(({ at }) => at > this.#now);
      for (const { run } of due) run();
      await settle();
    }
  }
}

/** Lets promises and `soon` callbacks run until they are done, as far as a few turns go. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Leaders as the test says. */
export class FakeLeaders implements LeaderDirectory {
  readonly #leaders = new Map<ShardId, { node: NodeId; term: number }>();
  readonly #listeners = new Set<(shard: ShardId) => void>();

  leader(shard: ShardId): { node: NodeId; term: number } | undefined {
    return this.#leaders.get(shard);
  }
  onChange(listener: (shard: ShardId) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  set(shard: ShardId, node: number | null): void {
    const term = (this.#leaders.get(shard)?.term ?? 0) + 1;
    if (node === null) this.#leaders.delete(shard);
    else this.#leaders.set(shard, { node: node as NodeId, term });
    for (const listener of this.#listeners) listener(shard);
  }
}

type Handler = Parameters<PeerCalls['handle']>[1];

/** Calls between nodes; a node in `cut` is not reached, one in `deaf` does what is asked but its answer is lost. */
export class FakeNetwork {
  readonly #handlers = new Map<string, Handler>();
  readonly cut: Set<number> = new Set();
  readonly deaf: Set<number> = new Set();
  /** Nodes that stand still: they never answer. */
  readonly frozen: Set<number> = new Set();
  /** What the nodes answer instead of what they should. */
  garbage: Uint8Array | null = null;
  calls = 0;
  /** Nodes that called, by kind. */
  readonly callers: Map<number, Set<number>> = new Map();

  callsOf(node: number): PeerCalls {
    return {
      handle: (kind, handler) => {
        this.#handlers.set(`${node}/${kind}`, handler);
      },
      call: async (to, kind, parts, deadline) => {
        this.calls += 1;
        this.callers.set(kind, (this.callers.get(kind) ?? new Set()).add(node));
        const handler = this.#handlers.get(`${to}/${kind}`);
        if (this.cut.has(to) || this.cut.has(node) || handler === undefined) {
          throw new RefusalError('PEER_UNREACHABLE', `node ${to} is not connected`);
        }
        if (this.frozen.has(to)) return new Promise(() => {});
        const answer = await handler(node as NodeId, Buffer.concat(parts), deadline);
        if (this.deaf.has(to)) {
          throw new RefusalError('PEER_UNREACHABLE', 'connection broke', { outcome: 'unknown' });
        }
        return this.garbage ?? Buffer.concat(answer);
      },
    };
  }
}

/** The meta shard of nodes 1 to n: a log that the leader appends to; entries are applied everywhere when `held` is false. */
export class FakeMetaShard {
  readonly states: MetaState[];
  readonly log: Entry[] = [];
  readonly #settles = new Map<Index, { node: number; settle: (fate: Fate) => void }>();
  readonly #applied: number[];
  leader = 0;
  term = 0;
  /** Holds commits back: no quorum. */
  held = false;
  /** Nodes that apply later, by {@link catchUp}. */
  readonly slow: Set<number> = new Set();
  propositions = 0;

  constructor(nodes: number) {
    this.states = Array.from({ length: nodes }, () => new MetaState());
    this.#applied = this.states.map(() => 0);
  }

  state(node: number): MetaState {
    const state = this.states[node - 1];
    if (state === undefined) throw new Error(`no node ${node}`);
    return state;
  }

  /** Makes a node the leader, 0: none; an uncommitted tail is dropped. */
  lead(node: number): void {
    if (this.held) {
      for (const [index, { settle: tell }] of [...this.#settles]) {
        this.#settles.delete(index);
        this.log.splice(index - 1);
        tell({ type: 'overwritten' });
      }
    }
    this.held = false;
    this.leader = node;
    this.term += 1;
    this.states.forEach((state, at) => {
      const leadership: Leadership = {
        term: this.term as Term,
        leader: node as number as ReplicaId,
        leads: at + 1 === node,
        confirmed: at + 1 === node,
      };
      state.onLeadership(leadership);
    });
  }

  /** The replicas of all nodes close: what is under way will not be known here. */
  abandon(): void {
    for (const [index, { settle: tell }] of [...this.#settles]) {
      this.#settles.delete(index);
      tell({ type: 'unknown' });
    }
  }

  shard(node: number): Shard {
    return {
      id: META_SHARD,
      replica: node as ReplicaId,
      propose: (data, settled) => {
        this.propositions += 1;
        if (this.leader !== node) return { type: 'refused', reason: 'notLeader', leader: 0 as ReplicaId };
        const index = this.append(data);
        this.#settles.set(index, { node, settle: settled });
        setImmediate(() => this.commit());
        return { type: 'accepted', index, term: this.term as Term };
      },
      read: (done) => done(true),
      change: () => ({ type: 'refused', reason: 'changePending', leader: 0 as ReplicaId }),
      transfer: () => null,
      leadsForSure: () => this.leader === node,
      status: () => ({ role: this.leader === node ? 'leader' : 'follower' }) as unknown as RaftStatus,
    };
  }

  append(data: Uint8Array): Index {
    const index = (this.log.length + 1) as Index;
    this.log.push({ index, term: this.term as Term, type: 'command', data });
    return index;
  }

  /** Applies a command on all nodes at once. */
  apply(command: MetaCommand): Index {
    const index = this.append(encodeCommand(command));
    this.commit();
    return index;
  }

  commit(): void {
    if (this.held) return;
    for (let node = 1; node <= this.states.length; node++) if (!this.slow.has(node)) this.catchUp(node);
  }

  catchUp(node: number): void {
    const from = this.#applied[node - 1] ?? 0;
    const entries = this.log.slice(from);
    if (entries.length === 0) return;
    this.#applied[node - 1] = this.log.length;
    this.state(node).apply(entries);
    for (const { index } of entries) {
      const waiting = this.#settles.get(index);
      if (waiting === undefined || waiting.node !== node) continue;
      this.#settles.delete(index);
      waiting.settle({ type: 'applied', index });
    }
  }
}

/** Registers nodes 1 to n. */
export function registerNodes(meta: FakeMetaShard, nodes: number): void {
  meta.apply({ type: 'form', clusterId: 'c', nodes: ids(nodes) });
  for (const id of ids(nodes)) {
    meta.apply({
      type: 'registerNode',
      id,
      clientAddress: `127.0.0.1:710${id}`,
      peerAddress: `127.0.0.1:720${id}`,
      pid: 100 + id,
      bootNumber: 1,
      featureLevel: 1,
    });
  }
}

/** Node ids 1 to n. */
export function ids(nodes: number): NodeId[] {
  return Array.from({ length: nodes }, (_, at) => (at + 1) as NodeId);
}

/** A createTopic command. */
export function topicCommand(
  name: string,
  partitions: number,
  replicas: number,
  groupsMax = 1_000_000,
): MetaCommand {
  return {
    type: 'createTopic',
    name,
    partitions,
    replicas,
    retentionMilliseconds: 0,
    retentionBytes: 0,
    groupsMax,
    token: `token of ${name}`,
    time: 1_700_000_000_000,
  };
}

/** UTF-8 bytes. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** All bytes of an image. */
export function imageBytes(state: MetaState): Buffer {
  return Buffer.concat([...state.image()]);
}
