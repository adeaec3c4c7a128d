import { setTimeout as pass } from 'node:timers/promises';
import {
  CONSUME_EVENT_KIND_ATTACHED,
  CONSUME_EVENT_KIND_DRAINING,
  CONSUME_EVENT_KIND_HELD,
  CONSUME_EVENT_KIND_HOLD_LOST,
  CONSUME_EVENT_KIND_LEADER_CHANGED,
  type ConsumeRequest,
  type DecodedConsumeResponse,
  decodeConsumeResponse,
  encodeConsumeRequest,
  RefusalError,
} from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { definition } from '../partition/fake-definitions.ts';
import { delivery, type FakeDispatch } from './fake-dispatch.ts';
import { FakeCluster } from './fakes.ts';

const NOTHING: ConsumeRequest = {
  open: null,
  creditMessages: 0,
  creditBytes: 0,
  settleKinds: [],
  settlePartitions: [],
  settleTokenEpochs: [],
  settleTokenCounters: [],
  settleSequences: [],
  settleMilliseconds: [],
  settleReasons: [],
  leave: false,
};
const OPEN = {
  topic: 'orders',
  subscription: 's1',
  consumer: 'c',
  session: 'session-1',
  resumeGroups: [] as string[],
  resumePartitions: [] as number[],
  resumeLives: [] as number[],
  resumeTokenEpochs: [] as number[],
  resumeTokenCounters: [] as number[],
  resumeSequences: [] as number[],
  resumeHeadOffsets: [] as number[],
  resumeHeadAttempts: [] as number[],
  resumeSettledSequences: [] as number[],
};

/** A stream to node 1, which leads partitions 0 and 2 of three. */
function setUp() {
  const cluster = new FakeCluster(3, 2);
  cluster.definitions.set(definition(1));
  const responses: DecodedConsumeResponse[] = [];
  const wire = { full: false, ended: [] as unknown[] };
  const session = cluster.door.consume({
    write: (bytes) => {
      responses.push(decodeConsumeResponse(bytes));
      return !wire.full;
    },
    end: (refusal) => wire.ended.push(refusal),
  });
  const send = (request: Partial<ConsumeRequest>): void =>
    session.take(encodeConsumeRequest({ ...NOTHING, ...request }));
  const dispatch = (partition: number): FakeDispatch => {
    const found = cluster.partitions[partition];
    if (found === undefined) throw new Error(`no partition ${partition}`);
    return found.dispatch;
  };
  const events = () => responses.flatMap((response) => response.events);
  const open = async (changes: Partial<typeof OPEN> = {}, credit = 100): Promise<void> => {
    send({ open: { ...OPEN, ...changes }, creditMessages: credit, creditBytes: credit * 1_000 });
    await turn();
  };
  return { cluster, responses, wire, session, send, dispatch, events, open };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

const ack = (
  rows: readonly [partition: number, counter: number, sequence: number][],
): Partial<ConsumeRequest> => ({
  settleKinds: rows.map(() => 0),
  settlePartitions: rows.map(([partition]) => partition),
  settleTokenEpochs: rows.map(() => 4),
  settleTokenCounters: rows.map(([, counter]) => counter),
  settleSequences: rows.map(([, , sequence]) => sequence),
  settleMilliseconds: rows.map(() => 0),
});

describe("a consumer's stream", () => {
  it('is attached to each partition that the node leads, now and later', async () => {
    const { cluster, dispatch, events, open } = setUp();
    await open();
    expect(events().map(({ kind, partition }) => [kind, partition])).toEqual([
      [CONSUME_EVENT_KIND_ATTACHED, 0],
      [CONSUME_EVENT_KIND_ATTACHED, 2],
    ]);
    expect(dispatch(0).attachment.identity).toEqual({ subscription: 1, consumer: 'c', session: 'session-1' });
    cluster.lead(1, 1);
    await pass(400);
    expect(events().map(({ partition }) => partition)).toEqual([0, 2, 1]);
  });

  it('is attached when the node comes to lead, and told when it ceases to', async () => {
    const { cluster, dispatch, events, open } = setUp();
    dispatch(0).leads = false;
    await open();
    expect(dispatch(0).attachments).toEqual([]);
    dispatch(0).change(true);
    await turn();
    const { sink } = dispatch(0).attachment;
    cluster.leaders[0] = 2;
    sink.event({ type: 'leadership-ended' });
    await turn();
    expect(events().at(-1)).toMatchObject({
      kind: CONSUME_EVENT_KIND_LEADER_CHANGED,
      partition: 0,
      leaderAddress: 'host2:7101',
    });
  });

  it('shares its credit among partitions and stops at a full stream', async () => {
    const { dispatch, responses, wire, session, send, open } = setUp();
    await open({}, 5);
    const [first, second] = [dispatch(0).attachment, dispatch(2).attachment];
    first.sink.deliver(delivery(1, 3));
    expect(second.sink.creditMessages).toBe(2);
    wire.full = true;
    second.sink.deliver(delivery(1, 2));
    expect(first.sink).toMatchObject({ creditMessages: 0, writable: false });
    wire.full = false;
    session.drained();
    expect(first.sink.writable).toBe(true);
    send({ creditMessages: 7 });
    expect(first.sink.creditMessages).toBe(7);
    expect([first.granted, second.granted].every((count) => count > 0)).toBe(true);
    const [sent] = responses.filter(({ runLengths }) => runLengths.length > 0);
    expect(sent).toMatchObject({ partition: 0, runSequences: [1], runLengths: [3], tokenEpoch: 4 });
    expect(sent?.messageStarts).toHaveLength(3);
  });

  it('numbers settlements over all partitions and answers them as one', async () => {
    const { dispatch, responses, send, open } = setUp();
    await open();
    send(
      ack([
        [0, 1, 5],
        [2, 9, 1],
        [0, 2, 7],
      ]),
    );
    expect(dispatch(0).attachment.rows.map(({ number, counter }) => [number, counter])).toEqual([
      [1, 1],
      [3, 2],
    ]);
    expect(dispatch(2).attachment.rows).toMatchObject([{ number: 2, counter: 9, sequence: 1 }]);
    dispatch(0).attachment.sink.settled(3, [3], ['HOLD_LOST']);
    await turn();
    expect(responses.at(-1)).toMatchObject({ settledRows: 1, refusedRows: [3], refusedCodes: ['HOLD_LOST'] });
    dispatch(2).attachment.sink.settled(2, [], []);
    await turn();
    expect(responses.at(-1)).toMatchObject({ settledRows: 3, refusedRows: [] });
  });

  it('refuses settlements of partitions that are led elsewhere, and of those it leads no more', async () => {
    const { dispatch, responses, send, open } = setUp();
    await open();
    send(ack([[1, 1, 1]]));
    await turn();
    expect(responses.at(-1)).toMatchObject({
      settledRows: 1,
      refusedRows: [1],
      refusedCodes: ['NOT_LEADER'],
    });
    send(ack([[0, 1, 1]]));
    dispatch(0).attachment.sink.event({ type: 'leadership-ended' });
    await turn();
    expect(responses.at(-1)).toMatchObject({
      settledRows: 2,
      refusedRows: [2],
      refusedCodes: ['NOT_LEADER'],
    });
  });

  it('names its holds where they are led, and says of the others who leads', async () => {
    const { dispatch, events, open } = setUp();
    await open({
      resumeGroups: ['a', 'b'],
      resumePartitions: [0, 1],
      resumeLives: [1, 1],
      resumeTokenEpochs: [3, 3],
      resumeTokenCounters: [7, 8],
      resumeSequences: [4, 5],
      resumeHeadOffsets: [0, 10],
      resumeHeadAttempts: [0, 2],
      resumeSettledSequences: [3, 0],
    });
    expect(dispatch(0).attachment.resumed).toEqual([
      {
        group: 'a',
        life: 1,
        tokenEpoch: 3,
        tokenCounter: 7,
        lastSequence: 4,
        headOffset: -1,
        headAttempt: 0,
        settledSequence: 3,
      },
    ]);
    expect(events()).toContainEqual(
      expect.objectContaining({
        kind: CONSUME_EVENT_KIND_HOLD_LOST,
        group: 'b',
        code: 'NOT_LEADER',
        leaderAddress: 'host2:7101',
      }),
    );
    dispatch(0).attachment.sink.event({ type: 'held', group: 'a', life: 1, tokenEpoch: 4, tokenCounter: 1 });
    await turn();
    expect(events().at(-1)).toMatchObject({ kind: CONSUME_EVENT_KIND_HELD, group: 'a', tokenCounter: 1 });
  });

  it('leaves in order: what was not answered is, then the stream ends', async () => {
    const { dispatch, responses, wire, send, open } = setUp();
    await open();
    const { attachment } = dispatch(0);
    attachment.lastAnswers = { durable: true, refused: [2], codes: ['HOLD_LOST'] };
    dispatch(2).attachment.lastAnswers = { durable: false, refused: [], codes: [] };
    send({
      ...ack([
        [0, 1, 1],
        [0, 2, 1],
        [2, 3, 1],
      ]),
      leave: true,
    });
    await turn();
    expect(attachment.detached).toBe('clean');
    expect(responses.at(-1)).toMatchObject({
      settledRows: 3,
      refusedRows: [2, 3],
      refusedCodes: ['HOLD_LOST', 'NOT_LEADER'],
    });
    expect(wire.ended).toEqual([null]);
  });

  it('lets a consumer come back when its stream breaks', async () => {
    const { dispatch, session, wire, open } = setUp();
    await open();
    session.gone();
    expect(dispatch(0).attachment.detached).toBe('broken');
    expect(dispatch(0).listeners.size).toBe(0);
    expect(wire.ended).toEqual([null]);
  });

  it('ends with why: replaced, deleted, not ready, unknown', async () => {
    const replaced = setUp();
    await replaced.open();
    replaced.dispatch(0).attachment.replaced(new RefusalError('SESSION_REPLACED', 'a newer one came'));
    expect(replaced.wire.ended).toMatchObject([{ code: 'SESSION_REPLACED' }]);
    expect(replaced.dispatch(2).attachment.detached).toBe('broken');

    const deleted = setUp();
    await deleted.open();
    deleted.cluster.definitions.remove(1);
    await pass(400);
    expect(deleted.wire.ended).toMatchObject([{ code: 'UNKNOWN_SUBSCRIPTION' }]);

    const changed = setUp();
    changed.cluster.definitions.change(1, { ready: false });
    await changed.open();
    expect(changed.wire.ended).toMatchObject([{ code: 'SUBSCRIPTION_NOT_READY' }]);

    for (const [wrong, code] of [
      [{ topic: 'nope' }, 'UNKNOWN_TOPIC'],
      [{ subscription: 'nope' }, 'UNKNOWN_SUBSCRIPTION'],
      [{ consumer: '' }, 'INVALID_REQUEST'],
      [{ session: 'short' }, 'INVALID_REQUEST'],
    ] as const) {
      const { wire, open } = setUp();
      await open(wrong);
      expect(wire.ended).toMatchObject([{ code }]);
    }
  });

  it('ends at a request that is wrong, and keeps what it held for the one that comes back', async () => {
    for (const wrong of [encodeConsumeRequest(NOTHING), Buffer.from([0xff, 0xff])]) {
      const { session, wire } = setUp();
      session.take(wrong);
      expect(wire.ended).toMatchObject([{ code: 'INVALID_REQUEST' }]);
    }
    const { send, wire, dispatch, open } = setUp();
    await open();
    send({ open: OPEN });
    expect(wire.ended).toMatchObject([{ code: 'INVALID_REQUEST' }]);
    expect(dispatch(0).attachment.detached).toBe('broken');

    const greedy = setUp();
    await greedy.open({}, 1_000);
    greedy.send({ creditMessages: 1_000_000 });
    expect(greedy.wire.ended).toMatchObject([{ code: 'INVALID_REQUEST' }]);
  });

  it('is told that the node shuts down, gets nothing more, and is ended after a moment', async () => {
    const { session, events, dispatch, wire, open } = setUp();
    await open();
    session.shutDown(new RefusalError('SHUTTING_DOWN', 'this node is shutting down'));
    await turn();
    expect(events().at(-1)).toMatchObject({ kind: CONSUME_EVENT_KIND_DRAINING });
    expect(dispatch(0).attachment.sink.creditMessages).toBe(0);
    await pass(1_100);
    expect(wire.ended).toMatchObject([{ code: 'SHUTTING_DOWN' }]);
  });

  it('counts what goes through it', async () => {
    const { cluster, dispatch, send, session, open } = setUp();
    await open();
    dispatch(0).attachment.sink.deliver(delivery(1, 3));
    send(
      ack([
        [0, 1, 3],
        [1, 1, 1],
      ]),
    );
    await turn();
    expect(cluster.door.consumed).toEqual({
      streams: 1,
      delivered: 3,
      settlements: 2,
      refusedSettlements: 1,
    });
    session.gone();
    expect(cluster.door.consumed.streams).toBe(0);
  });

  it('ends when a partition has as many consumers as it takes', async () => {
    const { dispatch, wire, open } = setUp();
    dispatch(2).refusal = new RefusalError('TOO_MANY_CONSUMERS', '1000 consumers are attached');
    await open();
    expect(wire.ended).toMatchObject([{ code: 'TOO_MANY_CONSUMERS' }]);
  });
});
