/**
 * Account transfers: each account is a message group. A transfer is two entries, one in each account's group, and each entry carries the
 * balance behind it. Whoever replays an account must find every balance to follow from the one before: no entry missing, none twice,
 * none out of place, although several tellers write at the same time and repeat what they got no answer for.
 *
 *   npm start -- --no-demo     (in another terminal)
 *   node examples/transfers.mjs
 */
import { Admin, Cluster, OrderedProducer, Reader } from '@seriatim/client';

const endpoints = (process.env['SERIATIM_ENDPOINTS'] ?? '127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103').split(
  ',',
);
const topic = `transfers-${Date.now()}`;
const accounts = 50;
const transfers = 2_000;
const opening = 1_000;

const cluster = new Cluster({ endpoints });
await new Admin({ cluster }).createTopic({ name: topic, partitions: 8, replicas: 3 });
const producer = new OrderedProducer({ cluster });
const name = (/** @type {number} */ account) => `account-${account}`;

const balances = Array.from({ length: accounts }, () => opening);
/** @type {Promise<unknown>[]} */
const sent = [];
/** @param {number} account @param {number} amount @param {string} why */
function book(account, amount, why) {
  const balance = (balances[account] ?? 0) + amount;
  balances[account] = balance;
  const value = JSON.stringify({ amount, balance, why });
  sent.push(producer.sendSingleOrderedMessage(topic, name(account), why, value));
}

for (let account = 0; account < accounts; account++)
  sent.push(
    producer.sendSingleOrderedMessage(
      topic,
      name(account),
      'opening',
      JSON.stringify({ amount: opening, balance: opening }),
    ),
  );
for (let transfer = 0; transfer < transfers; transfer++) {
  const from = Math.floor(Math.random() * accounts);
  const to = (from + 1 + Math.floor(Math.random() * (accounts - 1))) % accounts;
  const amount = Math.min(balances[from] ?? 0, 1 + Math.floor(Math.random() * 100));
  book(from, -amount, `transfer-${transfer}`);
  book(to, amount, `transfer-${transfer}`);
}
await Promise.all(sent);
await producer.close();

/** @type {Map<string, number>} */
const replayed = new Map();
let wrong = 0;
for await (const message of new Reader({ cluster }).read({ topic, untilEnd: true })) {
  const { amount, balance } = JSON.parse(message.value.toString());
  const before = replayed.get(message.group) ?? 0;
  if (before + amount !== balance || balance < 0) {
    wrong++;
    console.error(
      `${message.group}, entry ${message.sequence}: ${before} and ${amount} do not make ${balance}`,
    );
  }
  replayed.set(message.group, balance);
}
cluster.close();

const total = [...replayed.values()].reduce((sum, balance) => sum + balance, 0);
console.log(`${transfers} transfers between ${accounts} accounts, ${sent.length} entries stored`);
console.log(
  `${wrong} balances wrong; the accounts hold ${total} together, as at the beginning: ${accounts * opening}`,
);
if (wrong > 0 || total !== accounts * opening) process.exitCode = 1;
