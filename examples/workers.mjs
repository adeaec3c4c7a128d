/**
 * Workers that share a subscription: each account's payments are booked in order by one worker at a time, whichever; a payment that nobody can book
 * stops its own account only, until an operator decides.
 *
 *   npm start -- --no-demo     (in another terminal)
 *   node examples/workers.mjs
 */
import { Admin, Cluster, OrderedProducer, SubscriptionAdmin } from '@seriatim/client';

const endpoints = (process.env['SERIATIM_ENDPOINTS'] ?? '127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103').split(
  ',',
);
const topic = `payments-${Date.now()}`;
const subscription = 'booking';
const accounts = 50;
const payments = 20;
const poisoned = 'account-7';

const cluster = new Cluster({ endpoints });
await new Admin({ cluster }).createTopic({ name: topic, partitions: 8, replicas: 3 });
const subscriptions = new SubscriptionAdmin({ cluster });
await subscriptions.create({ topic, name: subscription, maxDeliveries: 3, backoffMilliseconds: 10 });

const producer = new OrderedProducer({ cluster });
for (let payment = 1; payment <= payments; payment++) {
  const messages = Array.from({ length: accounts }, (_, account) => ({
    messageGroup: `account-${account}`,
    value: `account-${account}` === poisoned && payment === 5 ? 'no number' : String(payment),
  }));
  await producer.sendOrderedMessages(topic, messages);
}
await producer.close();

/** What each account has booked, in the order in which it was. @type {Map<string, number[]>} */
const books = new Map();
let booked = 0;

/** @param {import('@seriatim/client').ConsumedMessage} message */
async function book(message) {
  const payment = Number(message.value.toString());
  // Thrown: it failed, and comes again; after three times its account is parked.
  if (Number.isNaN(payment)) throw new Error(`"${message.value}" can't be booked`);
  const own = books.get(message.group) ?? [];
  books.set(message.group, own);
  own.push(payment);
  booked++;
}

// More workers may come and go at any time; here are three.
const workers = [1, 2, 3].map((number) =>
  cluster.consumer({ topic, subscription, name: `worker-${number}` }),
);
const running = workers.map((worker) => worker.run(book, { concurrency: 8 }));

/** @param {() => boolean | Promise<boolean>} condition */
async function until(condition) {
  for (let tries = 0; tries < 300 && !(await condition()); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** @type {{ group: string, headSequence: number, waiting: number, reason: string }[]} */
let parked = [];
await until(async () => {
  parked = [];
  for await (const group of subscriptions.parkedGroups(topic, subscription)) parked.push(group);
  return parked.length > 0 && booked === accounts * payments - (payments - 4);
});
for (const { group, headSequence, waiting, reason } of parked) {
  console.log(`${group} waits at payment ${headSequence} with ${waiting - 1} behind it: ${reason}`);
  await subscriptions.resolveGroup(
    topic,
    subscription,
    group,
    { type: 'skip' },
    { headSequence, why: 'not a payment' },
  );
}
await until(() => booked === accounts * payments - 1);
await Promise.all(workers.map((worker) => worker.close()));
await Promise.all(running);
cluster.close();

const inOrder = [...books.values()].filter((own) =>
  own.every((payment, at) => at === 0 || payment > (own[at - 1] ?? 0)),
);
console.log(
  `${booked} payments of ${books.size} accounts booked, ${books.size - inOrder.length} accounts out of order`,
);
if (booked !== accounts * payments - 1 || inOrder.length !== accounts || parked.length !== 1)
  process.exitCode = 1;
