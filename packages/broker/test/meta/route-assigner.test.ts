import { RefusalError } from '@seriatim/protocol';
import { beforeEach, describe, expect, test } from 'vitest';
import type { TopicId } from '../../src/contracts.ts';
import { MetaClient } from '../../src/meta/client.ts';
import { decodeCommand } from '../../src/meta/command-codec.ts';
import { GatheringRouteAssigner, type RouteAssignerOptions } from '../../src/meta/route-assigner.ts';
import {
  FakeLeaders,
  FakeMetaShard,
  FakeNetwork,
  ManualClock,
  registerNodes,
  settle,
  topicCommand,
  utf8,
} from './fakes.ts';

let clock: ManualClock;
let meta: FakeMetaShard;
let topic: TopicId;
let assigner: GatheringRouteAssigner;
let sent: number[];

function newAssigner(limits: Partial<RouteAssignerOptions> = {}): GatheringRouteAssigner {
  const client = new MetaClient({
    node: 1 as never,
    clock,
    leaders: new FakeLeaders(),
    state: meta.state(1),
    shard: () => meta.shard(1),
    calls: new FakeNetwork().callsOf(1),
  });
  return new GatheringRouteAssigner({
    clock,
    view: meta.state(1),
    submit: (command, deadline) => {
      if (command.type === 'assignRoutes') {
        sent.push(command.topics.reduce((sum, { ends }) => sum + ends.length, 0));
      }
      return client.submit(command, deadline);
    },
    ...limits,
  });
}

beforeEach(() => {
  clock = new ManualClock();
  meta = new FakeMetaShard(1);
  registerNodes(meta, 3);
  meta.apply(topicCommand('orders', 4, 3, 100));
  topic = meta.state(1).topic('orders')?.id as TopicId;
  meta.lead(1);
  sent = [];
  assigner = newAssigner();
});

const names = (from: number, to: number): Uint8Array[] =>
  Array.from({ length: to - from }, (_, at) => utf8(`g${from + at}`));
const assign = (groups: readonly Uint8Array[], milliseconds = 1_000): Promise<unknown> =>
  assigner.assign(topic, groups, clock.now() + milliseconds).catch((error: unknown) => error);

describe('route assigner', () => {
  test('puts the groups of one turn into one command, each once', async () => {
    await Promise.all([assign(names(0, 5)), assign(names(3, 8)), assign([utf8('g4'), utf8('g4')])]);
    expect(sent).toEqual([8]);
    expect(meta.state(1).routeCount(topic)).toBe(8);
  });

  test('gathers what comes while a command is in flight for the next one', async () => {
    meta.held = true;
    const first = assign(names(0, 1));
    await settle();
    const more = [assign(names(1, 3)), assign(names(2, 6)), assign(names(0, 1))];
    await settle();
    expect(sent).toEqual([1]);
    meta.held = false;
    meta.commit();
    await Promise.all([first, ...more]);
    expect(sent).toEqual([1, 5]);
  });

  test('asks nothing for groups that have a route', async () => {
    await assign(names(0, 3));
    await assign(names(0, 3));
    expect(sent).toEqual([3]);
  });

  test('carries several topics in one command', async () => {
    meta.apply(topicCommand('other', 1, 1));
    const other = meta.state(1).topic('other')?.id as TopicId;
    await Promise.all([assign(names(0, 2)), assigner.assign(other, names(0, 3), clock.now() + 100)]);
    expect(sent).toEqual([5]);
    expect(meta.state(1).routeCount(other)).toBe(3);
  });

  test('cuts commands at their limits', async () => {
    assigner = newAssigner({ commandGroupsMax: 4 });
    await assign(names(0, 10));
    expect(sent).toEqual([4, 4, 2]);
    assigner = newAssigner({ commandBytesMax: 9 });
    await assign(names(20, 24));
    expect(sent.slice(3)).toEqual([3, 1]);
  });

  test('answers OVERLOADED above its own limit, and others go on', async () => {
    assigner = newAssigner({ waitingGroupsMax: 4 });
    const [taken, refused] = await Promise.all([assign(names(0, 3)), assign(names(3, 6))]);
    expect(taken).toBeUndefined();
    expect(refused).toMatchObject({ code: 'OVERLOADED', outcome: 'not-applied' });
    expect(await assign(names(3, 6))).toBeUndefined();
  });

  test('answers OVERLOADED at the limit of the topic, UNKNOWN_TOPIC when it is gone', async () => {
    expect(await assign(names(0, 100))).toBeUndefined();
    expect(await assign(names(99, 101))).toMatchObject({ code: 'OVERLOADED' });
    expect(await assign(names(5, 10))).toBeUndefined();
    meta.apply({ type: 'deleteTopic', name: 'orders', token: 'd', time: 1 });
    expect(await assign(names(5, 10))).toMatchObject({ code: 'UNKNOWN_TOPIC' });
  });

  test('without a meta leader each caller is answered by its own deadline: nothing was applied', async () => {
    meta.lead(0);
    const short = assign(names(0, 1), 100);
    const long = assign(names(1, 2), 400);
    await clock.advance(100);
    expect(await short).toBeInstanceOf(RefusalError);
    expect(await short).toMatchObject({ outcome: 'not-applied' });
    meta.lead(1);
    await clock.advance(100);
    expect(await long).toBeUndefined();
    expect(meta.state(1).routeCount(topic)).toBe(2);
  });

  test('after a failed command the same groups can be assigned', async () => {
    meta.lead(0);
    const failed = assign(names(0, 2), 100);
    await clock.advance(120);
    expect(await failed).toMatchObject({ outcome: 'not-applied' });
    meta.lead(1);
    expect(await assign(names(0, 2))).toBeUndefined();
  });

  test('never gives a group two lives, whatever is asked at once', async () => {
    const asked = Array.from({ length: 30 }, (_, at) => assign(names(at, at + 10)));
    await Promise.all(asked);
    const assigned = meta.log
      .map(({ data }) => decodeCommand(data))
      .flatMap((command) => (command.type === 'assignRoutes' ? command.topics : []));
    expect(assigned.reduce((sum, { ends }) => sum + ends.length, 0)).toBe(39);
    expect(meta.state(1).routeCount(topic)).toBe(39);
  });
});
