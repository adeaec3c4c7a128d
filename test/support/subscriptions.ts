/** Questions about subscriptions over the wire, for tests with real processes. */
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import {
  type CreateSubscriptionRequest,
  type DescribeSubscriptionResponse,
  type SubscriptionMethodName,
  subscriptionsService,
} from '@seriatim/protocol';

const CALL_MILLISECONDS = 10_000;

/** One call to one node, as a client in another language makes it. */
export function ask<Response>(
  endpoint: string,
  method: SubscriptionMethodName,
  request: object,
): Promise<Response> {
  const Client = makeGenericClientConstructor(subscriptionsService, 'Subscriptions');
  const client = new Client(endpoint, credentials.createInsecure());
  const call = (client as unknown as Record<string, (...args: unknown[]) => void>)[method];
  return new Promise<Response>((resolve, reject) => {
    const done = (error: Error | null, answer: Response): void =>
      error === null ? resolve(answer) : reject(error);
    call?.call(client, request, { deadline: Date.now() + CALL_MILLISECONDS }, done);
  }).finally(() => client.close());
}

/** Creates a subscription at the beginning, with settings that differ from the defaults. */
export async function subscribe(
  endpoint: string,
  topic: string,
  name: string,
  settings: Partial<CreateSubscriptionRequest> = {},
): Promise<void> {
  await ask(endpoint, 'CreateSubscription', { topic, name, ...settings });
}

/** Messages that are not settled; null: some partition could not be asked. */
export async function unsettled(endpoint: string, topic: string, name: string): Promise<number | null> {
  const answer = await ask<DescribeSubscriptionResponse>(endpoint, 'DescribeSubscription', { topic, name });
  if (answer.partitions.some(({ code }) => code !== '')) return null;
  return answer.partitions.reduce((sum, partition) => sum + partition.unsettled, 0);
}

/** Resolves when everything is settled; rejects when that takes longer. Asks `endpoints` in turn, some of which may be down. */
export async function untilSettled(
  endpoints: readonly string[],
  topic: string,
  name: string,
  milliseconds: number,
): Promise<void> {
  const end = Date.now() + milliseconds;
  let last: unknown = null;
  for (let turn = 0; Date.now() < end; turn++) {
    const endpoint = endpoints[turn % endpoints.length] ?? '';
    last = await unsettled(endpoint, topic, name).catch((error: Error) => error.message);
    if (last === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`subscription ${name} of ${topic} is not settled after ${milliseconds} ms: ${last}`);
}
