/** A broker behind real gRPC whose topic is consumed by the rules of {@link FakeSubscriptions}. */
import type { Buffer } from 'node:buffer';
import type { Server, ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { subscriptionsService, toServiceError } from '@seriatim/protocol';
import { systemClock } from '../../client/src/system-clock.ts';
import { FakeSubscriptions } from '../../client/test/consumer/fake-subscriptions.ts';
import { FakeBroker } from '../../client/test/fake-broker.ts';
import { serveFake } from '../../client/test/fake-server.ts';

export interface ConsumeServer {
  readonly broker: FakeBroker;
  readonly subscriptions: FakeSubscriptions;
  readonly server: Server;
  readonly endpoint: string;
}

/** To be shut down by whoever serves it. `calls`: what is answered beside Consume. */
export async function serveConsume(
  topic: string,
  partitions: number,
  calls: UntypedServiceImplementation,
): Promise<ConsumeServer> {
  const broker = new FakeBroker(['unbound']);
  broker.createTopic(topic, partitions);
  const subscriptions = new FakeSubscriptions(broker, systemClock, topic);
  const { server, port } = await serveFake(broker, 0);
  const endpoint = `127.0.0.1:${port}`;
  broker.addresses[0] = endpoint;
  server.addService(subscriptionsService, {
    ...calls,
    Consume: (stream: ServerDuplexStream<Buffer, Buffer>) => {
      const call = subscriptions.consume(endpoint, {
        response: (bytes) => stream.write(bytes),
        ended: (error) => (error === null ? stream.end() : stream.emit('error', toServiceError(error))),
      });
      stream.on('data', (bytes: Buffer) => call.send(bytes));
      stream.on('cancelled', () => call.cancel());
    },
  });
  return { broker, subscriptions, server, endpoint };
}
