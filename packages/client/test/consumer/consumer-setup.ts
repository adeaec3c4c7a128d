import { Cluster } from '../../src/cluster.ts';
import type { ConsumedMessage } from '../../src/consumer/consumed-message.ts';
import type { Consumer, ConsumerOptions } from '../../src/consumer/consumer.ts';
import { FakeBroker } from '../fake-broker.ts';
import { FakeTransport } from '../fake-transport.ts';
import { TestClock } from '../test-clock.ts';
import { FakeSubscriptions } from './fake-subscriptions.ts';

export const ADDRESSES: readonly string[] = ['n:1', 'n:2', 'n:3'];

/** A cluster of three fake nodes in virtual time, with a topic `t` and a subscription `s`. */
export function setUp(partitions = 3) {
  const clock = new TestClock(5);
  const broker = new FakeBroker(ADDRESSES);
  broker.createTopic('t', partitions);
  const transport = new FakeTransport(broker, clock);
  const subscriptions = new FakeSubscriptions(broker, clock, 't');
  transport.consume = (address, listener) => subscriptions.consume(address, listener);
  const cluster = new Cluster({ endpoints: ADDRESSES, transport, clock });
  const consumer = (options: Partial<ConsumerOptions> = {}): Consumer =>
    cluster.consumer({ topic: 't', subscription: 's', ...options });
  /** `count` messages round the groups g0, g1, …; a group is in the partition of its number. */
  const publish = (count: number, groups: number): void => {
    for (let index = 0; index < count; index++) {
      const group = index % groups;
      subscriptions.publish(group % partitions, `g${group}`, `${index}`);
    }
  };
  return { clock, broker, transport, subscriptions, cluster, consumer, publish };
}

/** The holds that a consumer is told it lost, each as its group and the code. */
export function losses({ events }: Consumer): readonly string[] {
  const lost: string[] = [];
  events.on('holdLost', ({ group, code }) => lost.push(`${group} ${code}`));
  return lost;
}

/** Takes so many messages, calling `each` for every one. */
export async function take(
  consumer: AsyncIterable<ConsumedMessage>,
  count: number,
  each: (message: ConsumedMessage) => unknown = () => {},
): Promise<ConsumedMessage[]> {
  const taken: ConsumedMessage[] = [];
  for await (const message of consumer) {
    taken.push(message);
    await each(message);
    if (taken.length === count) break;
  }
  return taken;
}
