/**
 * A consumer as a process of its own, to be killed and frozen. Writes a line to its log before each settlement and for each refusal: whatever
 * becomes of the process, what it settled is in the log. SIGTERM closes it in order.
 *
 *   node consumer-process.mjs '{"endpoints":[…],"topic":…,"subscription":…,"log":…,"nackPart":0.1}'
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { Cluster } from '@seriatim/client';

const options = JSON.parse(process.argv[2] ?? '{}');
const {
  endpoints,
  topic,
  subscription,
  log,
  name,
  nackPart = 0,
  workMilliseconds = 0,
  freezeAt = 0,
} = options;
/** Failures that a message gets at most, so that none is parked. */
const NACKS_MAX = 3;
/** Part of the messages that take a moment. */
const SLOW_PART = 0.01;

const file = openSync(log, 'a');
/** @param {Record<string, unknown>} entry */
const note = (entry) => writeSync(file, `${JSON.stringify({ at: Date.now(), ...entry })}\n`);

const cluster = new Cluster({ endpoints });
const consumer = cluster.consumer({ topic, subscription, name });
consumer.events.on('refused', ({ group, sequence, kind, code }) =>
  note({ what: 'refused', group, sequence, kind, code }),
);
consumer.events.on('holdLost', ({ group, code }) => note({ what: 'lost', group, code }));
process.on('SIGTERM', () => consumer.stop());

let handled = 0;
for await (const message of consumer) {
  if (workMilliseconds > 0 || Math.random() < SLOW_PART) {
    await new Promise((resolve) => setTimeout(resolve, workMilliseconds || Math.random() * 5));
  }
  if (++handled === freezeAt) {
    closeSync(openSync(`${log}.frozen`, 'w'));
    // Between work and settlement: when it goes on it settles before it can hear that its hold has ended.
    process.kill(process.pid, 'SIGSTOP');
  }
  if (message.signal.aborted) continue;
  const { group, sequence, attempt, token } = message;
  const fails = attempt <= NACKS_MAX && Math.random() < nackPart;
  const what = fails ? 'nack' : 'ack';
  note({ what, group, sequence, attempt, ...token, value: message.value.toString() });
  if (fails) message.nack({ delay: 0, reason: 'by chance' });
  else message.ack();
}
await consumer.close();
cluster.close();
closeSync(file);
