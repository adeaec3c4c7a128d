/** Consumers on real nodes: every message in the order of its group, also when a leader is killed meanwhile. */
import { Client, credentials } from '@grpc/grpc-js';
import { type Consumer, OrderedProducer } from '@seriatim/client';
import { type CreateSubscriptionRequest, subscriptionsService } from '@seriatim/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../scripts/lib/node-process.mjs';
import { ProcessCluster } from '../support/process-cluster.ts';

const PARTITIONS = 4;
const GROUPS = 40;
let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
});
afterAll(() => cluster?.destroy());

/** Creates a topic of this name, with a subscription `s` from its beginning. */
async function subscribe(topic: string): Promise<void> {
  await cluster.admin.createTopic({ name: topic, partitions: PARTITIONS, replicas: 3 });
  const client = new Client(cluster.endpoints[0] as string, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = subscriptionsService.CreateSubscription;
  const settings = { start: 0, startOffset: 0, startTimeMs: 0, maxDeliveries: 0, poisonPolicy: 0 };
  const times = { holdMs: 0, backoffMs: 0, backoffMaxMs: 0, retainUnread: false, deadLetterTopic: '' };
  const request: CreateSubscriptionRequest = { topic, name: 's', ...settings, ...times };
  await new Promise<void>((resolve, reject) => {
    const options = { deadline: Date.now() + 20_000 };
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  client.close();
}

async function produce(topic: string, count: number): Promise<void> {
  const producer = new OrderedProducer({ cluster: cluster.cluster });
  const messages = Array.from({ length: count }, (_, index) => ({
    messageGroup: `g${index % GROUPS}`,
    value: `${index}`,
  }));
  await producer.sendOrderedMessages(topic, messages);
  await producer.close();
}

/** Runs consumers until `count` different messages were handled. */
class Handled {
  readonly last = new Map<string, number>();
  readonly violations: string[] = [];
  count = 0;
  repeated = 0;

  take(group: string, sequence: number): void {
    const last = this.last.get(group) ?? 0;
    if (sequence > last + 1) this.violations.push(`${group}: ${sequence} after ${last}`);
    if (sequence <= last) this.repeated++;
    else {
      this.last.set(group, sequence);
      this.count++;
    }
  }
}

describe('consumers', () => {
  it('take everything in order, by loop and by handler, and start where the one before left', async () => {
    await subscribe('orders');
    await produce('orders', 2000);
    const handled = new Handled();
    const first = cluster.cluster.consumer({ topic: 'orders', subscription: 's' });
    for await (const message of first) {
      handled.take(message.group, message.sequence);
      message.ack();
      if (handled.count === 500) break;
    }
    await first.close();
    const second = cluster.cluster.consumer({ topic: 'orders', subscription: 's' });
    const end = second.run(({ group, sequence }) => handled.take(group, sequence));
    await until('all are handled', 20_000, () => handled.count === 2000);
    await second.close();
    await end;
    expect(handled).toMatchObject({ count: 2000, repeated: 0, violations: [] });
  });

  it('go on after the leaders on a node are killed, and hold what they work on', async () => {
    await subscribe('payments');
    const handled = new Handled();
    const members: Consumer[] = [1, 2].map((number) =>
      cluster.cluster.consumer({ topic: 'payments', subscription: 's', name: `member-${number}` }),
    );
    const ends = members.map((member) =>
      member.run(
        async ({ group, sequence, signal }) => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          if (!signal.aborted) handled.take(group, sequence);
        },
        { concurrency: 8 },
      ),
    );
    await produce('payments', 2000);
    await until('some are handled', 20_000, () => handled.count > 600);
    const { leader = 0 } = (await cluster.admin.describeTopic('payments')).partitions[0] ?? {};
    await cluster.kill(cluster.node(leader));
    await until('all are handled', 40_000, () => handled.count === 2000);
    await cluster.startAll();
    await Promise.all(members.map((member) => member.close()));
    await Promise.all(ends);
    expect(handled).toMatchObject({ count: 2000, violations: [] });
    expect(handled.repeated).toBeLessThan(200);
  });
});
