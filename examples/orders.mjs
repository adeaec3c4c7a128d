/**
 * Order processing: each order is a message group, so its events are handled in the order they happened, while orders go in parallel.
 *
 *   npm start -- --no-demo     (in another terminal)
 *   node examples/orders.mjs
 */
import { Admin, Cluster, OrderedProducer, Reader } from '@seriatim/client';

const endpoints = (process.env['SERIATIM_ENDPOINTS'] ?? '127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103').split(
  ',',
);
const topic = `orders-${Date.now()}`;
const orders = 200;
const steps = ['created', 'paid', 'packed', 'shipped', 'delivered'];

const cluster = new Cluster({ endpoints });
await new Admin({ cluster }).createTopic({ name: topic, partitions: 8, replicas: 3 });

// Each order's events are sent without waiting for the one before: the producer keeps their order.
const producer = new OrderedProducer({ cluster });
const started = performance.now();
/** @type {Promise<unknown>[]} */
const sent = [];
for (const step of steps) {
  for (let order = 0; order < orders; order++) {
    const value = JSON.stringify({ order, step });
    sent.push(producer.sendSingleOrderedMessage(topic, `order-${order}`, undefined, value));
  }
}
await Promise.all(sent);
const seconds = (performance.now() - started) / 1000;
await producer.close();

/** How far each order is, as whoever handles the events would know it. @type {Map<string, number>} */
const progress = new Map();
let wrong = 0;
for await (const message of new Reader({ cluster }).read({ topic, untilEnd: true })) {
  const { step } = JSON.parse(message.value.toString());
  const expected = progress.get(message.group) ?? 0;
  if (steps[expected] !== step) {
    wrong++;
    console.error(`${message.group}: ${step} came where ${steps[expected]} was expected`);
  }
  progress.set(message.group, expected + 1);
}
cluster.close();

const delivered = [...progress.values()].filter((done) => done === steps.length).length;
console.log(`${sent.length} events of ${orders} orders stored in ${seconds.toFixed(2)} s`);
console.log(`${delivered} orders delivered, ${wrong} events out of order`);
if (wrong > 0 || delivered !== orders) process.exitCode = 1;
