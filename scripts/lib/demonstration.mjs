/** What `npm start` shows: order events of many users go in, come back, and are in order for each user. */
import { Admin, SeriatimError } from '@seriatim/client';
import { orderEvents, problems, produceEvents, readBack } from './order-events.mjs';

const topic = 'demo-orders';
const size = { users: 250, orders: 4 };

/** @param {Admin} admin */
async function ensureTopic(admin) {
  try {
    await admin.createTopic({ name: topic, partitions: 8, replicas: 3 });
    console.log(`Created topic ${topic}: 8 partitions, 3 replicas each.`);
  } catch (error) {
    if (!(error instanceof SeriatimError) || error.code !== 'TOPIC_EXISTS') throw error;
    console.log(`Topic ${topic} is there from an earlier start; going on with it.`);
  }
}

/**
 * @param {readonly (readonly (string | number)[])[]} rows the first one is the heading
 */
function printTable(rows) {
  const widths =
    rows[0]?.map((_, column) => Math.max(...rows.map((row) => String(row[column]).length))) ?? [];
  for (const row of rows) {
    console.log(`  ${row.map((cell, column) => String(cell).padStart(widths[column] ?? 0)).join('  ')}`);
  }
}

/**
 * @param {number} count
 * @param {number} seconds
 */
const perSecond = (count, seconds) => Math.round(count / seconds).toLocaleString('en');

/**
 * @param {import('@seriatim/client').Cluster} cluster
 * @returns {Promise<boolean>} whether all of it held
 */
export async function demonstrate(cluster) {
  const admin = new Admin({ cluster });
  await ensureTopic(admin);
  const run = new Date().toISOString();
  const messages = orderEvents(run, size);
  console.log(`Producing ${messages.length} order events of ${size.users} users ...`);
  const { seconds, failures } = await produceEvents(cluster, topic, messages);
  console.log(`Acknowledged by a majority of disks: ${perSecond(messages.length, seconds)} messages/s.`);
  const found = await readBack(cluster, topic, run, messages);
  const before = found.earlier > 0 ? `, ${found.earlier} of them from earlier starts` : '';
  console.log(
    `Read back ${found.messages} messages${before}: ${perSecond(found.messages, found.seconds)} messages/s.\n`,
  );
  const { partitions } = await admin.describeTopic(topic);
  printTable([
    ['partition', 'leader', 'users', 'messages', 'high watermark'],
    ...partitions.map((partition) => [
      partition.partition,
      `node ${partition.leader}`,
      found.partitions.get(partition.partition)?.groups ?? 0,
      found.partitions.get(partition.partition)?.messages ?? 0,
      partition.highWatermark,
    ]),
  ]);
  const wrong = problems(found, failures);
  const verdict = wrong.length === 0 ? 'none missing, none twice, every user in order' : wrong.join(', ');
  console.log(`\n${wrong.length === 0 ? 'Held' : 'DID NOT HOLD'}: ${verdict}.`);
  return wrong.length === 0;
}
