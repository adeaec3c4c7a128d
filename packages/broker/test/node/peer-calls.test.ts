import type { NodeId, PeerState, PeerTransport } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { ReplicaId, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import { SharedLeaderDirectory } from '../../src/node/leader-directory.ts';
import { defaultPeerCallLimits, FramedPeerCalls, type PeerCallLimits } from '../../src/node/peer-calls.ts';
import { ManualClock } from './manual-clock.ts';

const one = 1 as NodeId;
const two = 2 as NodeId;
const shard = 5 as Parameters<SharedLeaderDirectory['leader']>[0];

/** Two transports that hand frames to each other; `cut` loses them and reports the peer as down. */
class Wire implements PeerTransport {
  peer: Wire | null = null;
  accepts = true;
  lossy = false;
  readonly #node: NodeId;
  readonly #frames: ((from: NodeId, channel: 'control' | 'bulk', frame: Uint8Array) => void)[] = [];
  readonly #states: ((node: NodeId, state: PeerState) => void)[] = [];

  constructor(node: NodeId) {
    this.#node = node;
  }
  send(_to: NodeId, channel: 'control' | 'bulk', parts: readonly Uint8Array[]): boolean {
    if (!this.accepts) return false;
    const frame = Buffer.concat(parts);
    if (!this.lossy)
      for (const handler of this.peer === null ? [] : this.peer.#frames) handler(this.#node, channel, frame);
    return true;
  }
  onFrame(handler: (from: NodeId, channel: 'control' | 'bulk', frame: Uint8Array) => void): void {
    this.#frames.push(handler);
  }
  onPeerState(handler: (node: NodeId, state: PeerState) => void): void {
    this.#states.push(handler);
  }
  drain(drained: () => void): void {
    drained();
  }
  tell(node: NodeId, state: PeerState): void {
    for (const handler of this.#states) handler(node, state);
  }
}

function wires(): [Wire, Wire] {
  const [a, b] = [new Wire(one), new Wire(two)];
  a.peer = b;
  b.peer = a;
  return [a, b];
}

function setUp(limits: Partial<PeerCallLimits> = {}) {
  const [a, b] = wires();
  const clock = new ManualClock();
  const given = { ...defaultPeerCallLimits, ...limits };
  const caller = new FramedPeerCalls(a, clock, given);
  const callee = new FramedPeerCalls(b, clock, given);
  return { a, b, clock, caller, callee };
}

async function refused(promise: Promise<unknown>): Promise<RefusalError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof RefusalError) return error;
  throw new Error(`no refusal but ${String(error)}`);
}

describe('peer calls', () => {
  test('are answered by the handler of their kind, with the rest of the deadline', async () => {
    const { clock, caller, callee } = setUp();
    callee.handle(3, async (from, body, deadline) => {
      expect(from).toBe(one);
      expect(deadline - clock.now()).toBe(470);
      return [Buffer.from('you said '), body];
    });
    const answer = await caller.call(two, 3, [Buffer.from('he'), Buffer.from('llo')], clock.now() + 500);
    expect(Buffer.from(answer).toString()).toBe('you said hello');
  });

  test('carry a refusal with its code, outcome and leader', async () => {
    const { clock, caller, callee } = setUp();
    callee.handle(3, async () => {
      throw new RefusalError('NOT_LEADER', 'ask node 1', { leaderAddress: 'h:1' });
    });
    callee.handle(4, async () => {
      throw new Error('a bug');
    });
    const error = await refused(caller.call(two, 3, [], clock.now() + 500));
    expect(error).toMatchObject({
      code: 'NOT_LEADER',
      outcome: 'not-applied',
      message: 'ask node 1',
      leaderAddress: 'h:1',
    });
    expect(await refused(caller.call(two, 4, [], clock.now() + 500))).toMatchObject({
      code: 'INTERNAL',
      outcome: 'unknown',
    });
    expect((await refused(caller.call(two, 5, [], clock.now() + 500))).message).toContain('kind 5');
  });

  test('that were never sent were not applied; those that were lost are unknown', async () => {
    const { a, clock, caller, callee } = setUp();
    callee.handle(3, () => new Promise(() => undefined));
    a.accepts = false;
    expect(await refused(caller.call(two, 3, [], 500))).toMatchObject({
      code: 'PEER_UNREACHABLE',
      outcome: 'not-applied',
    });
    a.accepts = true;
    const lost = refused(caller.call(two, 3, [], 500));
    a.tell(two, 'refused');
    expect(await lost).toMatchObject({ code: 'PEER_UNREACHABLE', outcome: 'unknown' });
    const late = refused(caller.call(two, 3, [], clock.now() + 500));
    clock.advance(600);
    expect(await late).toMatchObject({ code: 'DEADLINE', outcome: 'unknown' });
    expect(await refused(caller.call(two, 3, [], clock.now()))).toMatchObject({
      code: 'DEADLINE',
      outcome: 'not-applied',
    });
    const closed = refused(caller.call(two, 3, [], clock.now() + 500));
    caller.close();
    expect(await closed).toMatchObject({ code: 'SHUTTING_DOWN', outcome: 'unknown' });
  });

  test('are refused above the limits of bytes and of calls being handled', async () => {
    const { clock, caller, callee } = setUp({ outstandingBytesMax: 1_000, handledMax: 2 });
    callee.handle(3, () => new Promise(() => undefined));
    const end = clock.now() + 500;
    for (let i = 0; i < 2; i++) caller.call(two, 3, [Buffer.alloc(400)], end).catch(() => undefined);
    expect((await refused(caller.call(two, 3, [Buffer.alloc(400)], end))).code).toBe('OVERLOADED');
    expect((await refused(caller.call(two, 3, [], end))).message).toContain('2 requests of node 1');
    clock.advance(600);
  });
});

const leads = (leader: number, term: number, here: boolean) => ({
  term: term as Term,
  leader: leader as ReplicaId,
  leads: here,
  confirmed: here,
});

describe('the leader directory', () => {
  function directories() {
    const [a, b] = wires();
    const clock = new ManualClock();
    return {
      a,
      b,
      clock,
      first: new SharedLeaderDirectory(one, a, clock, () => [two]),
      second: new SharedLeaderDirectory(two, b, clock, () => [one]),
    };
  }
  const locate = (replica: ReplicaId): NodeId => (replica - 100) as NodeId;

  test('tells nodes without a replica who leads, at once', () => {
    const { first, second } = directories();
    const heard: number[] = [];
    second.onChange((changed) => heard.push(changed));
    first.observed(shard, leads(101, 4, true), locate);
    expect(first.leader(shard)).toEqual({ node: 1, term: 4 });
    expect(second.leader(shard)).toEqual({ node: 1, term: 4 });
    first.observed(shard, leads(0, 5, false), locate);
    expect(second.leader(shard)).toBeUndefined();
    expect(heard).toEqual([shard, shard]);
  });

  test('says it again every second, and to a node that comes up', () => {
    const { a, clock, first, second } = directories();
    first.start();
    a.lossy = true;
    first.observed(shard, leads(101, 4, true), locate);
    a.lossy = false;
    expect(second.leader(shard)).toBeUndefined();
    clock.advance(1_000);
    expect(second.leader(shard)?.node).toBe(1);
    first.stop();
    a.tell(two, 'up');
    expect(second.leader(shard)?.node).toBe(1);
  });

  test('prefers the higher term, and its own replica within one', () => {
    const { first, second } = directories();
    first.observed(shard, leads(101, 4, true), locate);
    second.observed(shard, leads(103, 3, false), locate);
    expect(second.leader(shard)).toEqual({ node: 1, term: 4 });
    second.observed(shard, leads(103, 5, false), locate);
    expect(second.leader(shard)).toEqual({ node: 3, term: 5 });
    second.observed(shard, leads(0, 4, false), locate);
    expect(second.leader(shard)).toEqual({ node: 1, term: 4 });
    second.observed(shard, leads(0, 6, false), locate);
    expect(second.leader(shard)).toBeUndefined();
  });

  test('forgets what a node said when its connection is lost', () => {
    const { b, first, second } = directories();
    first.observed(shard, leads(101, 4, true), locate);
    b.tell(one, 'refused');
    expect(second.leader(shard)).toBeUndefined();
    first.closed(shard);
    expect(first.leader(shard)).toBeUndefined();
  });
});
