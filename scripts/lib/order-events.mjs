/**
 * Order events of many users, produced with the SDK and read back: the demonstration of `npm start`, and the check that
 * the container test does through published ports.
 */
import { OrderedProducer, Reader } from '@seriatim/client';

const steps = ['created', 'paid', 'packed', 'shipped', 'delivered'];

/** @typedef {import('@seriatim/client').Cluster} Cluster */
/** @typedef {import('@seriatim/client').OrderedMessage} OrderedMessage */
/** @typedef {{ readonly run: string, readonly number: number, readonly order: string, readonly step: string }} OrderEvent */

/**
 * Events of several orders of each user, users interleaved as they would be in life. A user's events are numbered from 1.
 * @param {string} run names this run in the messages
 * @param {{ readonly users: number, readonly orders: number }} size
 * @returns {OrderedMessage[]}
 */
export function orderEvents(run, { users, orders }) {
  /** @type {OrderedMessage[]} */
  const messages = [];
  for (let round = 0; round < orders * steps.length; round++) {
    for (let user = 0; user < users; user++) {
      const order = `order-${user}-${Math.floor(round / steps.length) + 1}`;
      const step = steps[round % steps.length];
      const value = JSON.stringify({ run, number: round + 1, order, step });
      messages.push({ messageGroup: `user-${String(user).padStart(4, '0')}`, key: order, value });
    }
  }
  return messages;
}

/**
 * Sends all messages, many calls under way at a time.
 * @param {Cluster} cluster
 * @param {string} topic
 * @param {readonly OrderedMessage[]} messages
 * @returns {Promise<{ readonly seconds: number, readonly failures: readonly string[] }>}
 */
export async function produceEvents(cluster, topic, messages) {
  const producer = new OrderedProducer({ cluster });
  const started = performance.now();
  const calls = [];
  for (let from = 0; from < messages.length; from += 250) {
    calls.push(producer.sendSettled(topic, messages.slice(from, from + 250)));
  }
  const results = await Promise.all(calls);
  await producer.close();
  const failures = results.flatMap((result) =>
    result.failures.map(({ error }) => `${error.code}: ${error.message}`),
  );
  return { seconds: (performance.now() - started) / 1000, failures };
}

/**
 * @typedef {object} ReadBack
 * @property {number} messages all that the topic holds
 * @property {number} earlier of them those of other runs
 * @property {number} missing of this run's
 * @property {number} twice of this run's
 * @property {number} outOfOrder events of this run behind a later one of the same user
 * @property {number} sequenceBreaks broker's sequences that are not one above the one before
 * @property {ReadonlyMap<number, { groups: number, messages: number }>} partitions
 * @property {number} seconds
 */

/**
 * Reads the whole topic and compares it with what a run sent.
 * @param {Cluster} cluster
 * @param {string} topic
 * @param {string} run
 * @param {readonly OrderedMessage[]} sent
 * @returns {Promise<ReadBack>}
 */
export async function readBack(cluster, topic, run, sent) {
  const started = performance.now();
  /** @type {Map<string, { last: number, numbers: number[], partition: number }>} */
  const groups = new Map();
  /** @type {Map<number, { groups: number, messages: number }>} */
  const partitions = new Map();
  let messages = 0;
  let earlier = 0;
  let sequenceBreaks = 0;
  for await (const batch of new Reader({ cluster }).readBatches({ topic, untilEnd: true })) {
    for (const message of batch) {
      messages++;
      const group = groups.get(message.group) ?? { last: 0, numbers: [], partition: message.partition };
      const row = partitions.get(message.partition) ?? { groups: 0, messages: 0 };
      if (!groups.has(message.group)) row.groups++;
      row.messages++;
      groups.set(message.group, group);
      partitions.set(message.partition, row);
      if (message.sequence !== group.last + 1) sequenceBreaks++;
      group.last = message.sequence;
      /** @type {OrderEvent} */
      const event = JSON.parse(message.value.toString());
      if (event.run === run) group.numbers.push(event.number);
      else earlier++;
    }
  }
  return {
    messages,
    earlier,
    ...compare(groups, sent),
    sequenceBreaks,
    partitions,
    seconds: (performance.now() - started) / 1000,
  };
}

/**
 * @param {ReadonlyMap<string, { readonly numbers: readonly number[] }>} groups
 * @param {readonly OrderedMessage[]} sent
 */
function compare(groups, sent) {
  let missing = 0;
  let twice = 0;
  let outOfOrder = 0;
  const expected = new Map();
  for (const { messageGroup } of sent) expected.set(messageGroup, (expected.get(messageGroup) ?? 0) + 1);
  for (const [group, count] of expected) {
    const numbers = groups.get(group)?.numbers ?? [];
    const distinct = new Set(numbers).size;
    missing += count - distinct;
    twice += numbers.length - distinct;
    outOfOrder += numbers.filter((number, index) => index > 0 && number < (numbers[index - 1] ?? 0)).length;
  }
  return { missing, twice, outOfOrder };
}

/**
 * What is wrong with a run, in words; empty when all held.
 * @param {ReadBack} found
 * @param {readonly string[]} failures
 * @returns {string[]}
 */
export function problems(found, failures) {
  const wrong = [];
  if (failures.length > 0) wrong.push(`${failures.length} messages not acknowledged, first ${failures[0]}`);
  if (found.missing > 0) wrong.push(`${found.missing} missing`);
  if (found.twice > 0) wrong.push(`${found.twice} stored twice`);
  if (found.outOfOrder > 0) wrong.push(`${found.outOfOrder} out of order`);
  if (found.sequenceBreaks > 0) wrong.push(`${found.sequenceBreaks} breaks in the sequence of a group`);
  return wrong;
}
