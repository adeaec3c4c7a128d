import { SeriatimError } from '../src/error.ts';
import { OrderedProducer, type ProducerOptions } from '../src/producer.ts';
import { FakeBroker } from './fake-broker.ts';
import { FakeTransport } from './fake-transport.ts';
import { TestClock } from './test-clock.ts';

const ADDRESSES = ['n:1', 'n:2', 'n:3'];

/** A producer on a fake broker in virtual time. */
export function setUp(
  options: Partial<ProducerOptions> & { readonly seed?: number; readonly partitions?: number } = {},
) {
  const { seed, partitions, ...config } = options;
  const clock = new TestClock(seed ?? 1);
  const broker = new FakeBroker(ADDRESSES);
  broker.createTopic('t', partitions ?? 3);
  const transport = new FakeTransport(broker, clock);
  const producer = new OrderedProducer({
    endpoints: ADDRESSES,
    transport,
    clock,
    ...config,
  } as ProducerOptions);
  return { clock, broker, transport, producer };
}

/** Messages that go round the groups g0, g1, …; values count. */
export const messagesOf = (count: number, groups: number) =>
  Array.from({ length: count }, (_, index) => ({ messageGroup: `g${index % groups}`, value: `${index}` }));

/** The error of a call that must fail. */
export async function failure(promise: Promise<unknown>): Promise<SeriatimError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof SeriatimError) return error;
    throw error;
  }
  throw new Error('was stored');
}
