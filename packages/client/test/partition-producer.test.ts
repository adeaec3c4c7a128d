import { Buffer } from 'node:buffer';
import { encodeProduceResponse, MessageWalker, RefusalError } from '@seriatim/protocol';
import { describe, expect, it } from 'vitest';
import { Cluster } from '../src/cluster.ts';
import { UnreachableError } from '../src/error.ts';
import { PartitionProducer } from '../src/partition-producer.ts';
import { FakeBroker } from './fake-broker.ts';
import { FakeTransport } from './fake-transport.ts';
import { TestClock } from './test-clock.ts';

function setUp(refusals: Error[]) {
  const clock = new TestClock(2);
  const fake = new FakeTransport(new FakeBroker(['n:1']), clock);
  const walker = new MessageWalker();
  const requests: ReturnType<MessageWalker['produce']>[] = [];
  const transport = {
    connect: (address: string) => ({
      ...fake.connect(address),
      produce: async (bytes: Buffer) => {
        requests.push(walker.produce(bytes));
        const refusal = refusals.shift();
        if (refusal !== undefined) throw refusal;
        return encodeProduceResponse({ partition: 3, baseOffset: 40, messages: 2, timestampMs: 1000 });
      },
    }),
  };
  const producer = new PartitionProducer({ cluster: new Cluster({ endpoints: ['n:1'], transport, clock }) });
  return { clock, requests, producer };
}

const MESSAGES = [{ value: 'a', key: 'k' }, { value: Buffer.alloc(500) }];

describe('PartitionProducer', () => {
  it('sends messages without group to the named partition, again after what was certainly not stored', async () => {
    const { clock, requests, producer } = setUp([new RefusalError('NO_LEADER', 'no leader')]);
    const receipt = await clock.until(producer.send('t', 3, MESSAGES));
    expect(receipt).toEqual({ partition: 3, baseOffset: 40, messages: 2, timestamp: 1000 });
    expect(requests).toHaveLength(2);
    expect(requests[1]).toMatchObject({ topic: 't', partition: 3, count: 2 });
  });

  it('does not send again what may be stored', async () => {
    const lost = new UnreachableError('PEER_UNREACHABLE', 'broken', { outcome: 'unknown' });
    const { clock, requests, producer } = setUp([lost]);
    const error = await clock.until(producer.send('t', 3, MESSAGES).catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: 'PEER_UNREACHABLE', outcome: 'unknown' });
    expect(requests).toHaveLength(1);
  });
});
