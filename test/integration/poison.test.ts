/** Messages that nobody can handle: their group waits, others flow, an operator decides; and a consumer that freezes loses its groups. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ConsumedMessage,
  type Consumer,
  OrderedProducer,
  Reader,
  SubscriptionAdmin,
} from '@seriatim/client';
import { isLower } from '@seriatim/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriatim } from '../support/command.ts';
import { ConsumerFleet } from '../support/consumer-fleet.ts';
import { ProcessCluster } from '../support/process-cluster.ts';
import { untilSettled } from '../support/subscriptions.ts';

const TOPIC = 'payments';
let cluster: ProcessCluster;
let producer: OrderedProducer;
let subscriptions: SubscriptionAdmin;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'seriatim-poison-'));
  cluster = await ProcessCluster.start();
  await cluster.admin.createTopic({ name: TOPIC, partitions: 4, replicas: 3 });
  producer = new OrderedProducer({ cluster: cluster.cluster });
  subscriptions = new SubscriptionAdmin({ cluster: cluster.cluster });
});

afterAll(async () => {
  await producer?.close();
  await cluster?.destroy();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  milliseconds = 15_000,
): Promise<void> {
  const end = Date.now() + milliseconds;
  while (Date.now() < end) {
    if (await condition()) return;
    await pause(20);
  }
  throw new Error(`waited ${milliseconds} ms in vain: ${what}`);
}

/** Sends values of one group, one after the other. */
async function send(group: string, ...values: string[]): Promise<void> {
  await producer.sendMessageGroupBatch(
    TOPIC,
    group,
    values.map((value) => ({ value })),
  );
}

/** A consumer whose handler fails for values that `poison` names, and what it handled. */
function handling(subscription: string, poison: (value: string) => boolean) {
  const handled: { group: string; value: string; attempt: number }[] = [];
  const consumer: Consumer = cluster.cluster.consumer({ topic: TOPIC, subscription });
  const running = consumer.run(async (message: ConsumedMessage) => {
    const value = message.value.toString();
    if (poison(value)) throw new Error(`${value} is poison`);
    handled.push({ group: message.group, value, attempt: message.attempt });
  });
  running.catch(() => {});
  const of = (group: string): string[] =>
    handled.filter((one) => one.group === group).map(({ value }) => value);
  return { consumer, handled, of };
}

const json = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function parked(subscription: string): Promise<Record<string, unknown>[]> {
  return json((await seriatim(cluster.endpoints, 'group', 'parked', TOPIC, subscription, '--json')).stdout);
}

describe('a group whose head fails for good', () => {
  it.each([
    ['retry', ['--retry'], ['bad', 'after', 'later', 'newest'], true],
    ['skip', ['--skip'], ['after', 'later', 'newest'], false],
    ['replace', ['--replace'], ['mended', 'after', 'later', 'newest'], false],
    ['discard', ['--discard'], ['newest'], false],
  ])('is parked, survives its leader, and %s takes it up in order', async (name, flags, expected, heals) => {
    const subscription = `by-${name}`;
    await subscriptions.create({ topic: TOPIC, name: subscription, start: 'latest', backoffMilliseconds: 1 });
    const group = `account-${name}`;
    const broken = { value: true };
    const { consumer, of } = handling(subscription, (value) => value === 'bad' && broken.value);
    await send(group, 'first', 'bad', 'after');
    await until('the group is parked', async () => (await parked(subscription)).length === 1);
    await send(group, 'later');
    const [status] = await parked(subscription);
    expect(status).toMatchObject({ group, headSequence: 2, failures: 5, reason: 'bad is poison' });
    // Others go on.
    await send(`other-${name}`, 'x', 'y');
    await until('other groups flow', () => of(`other-${name}`).length === 2);

    // A leader's death changes nothing.
    const { partition } = await cluster.admin.getRoute(TOPIC, group);
    const node = await cluster.leaderOf(TOPIC, partition);
    await cluster.kill(node);
    cluster.launch(node);
    await cluster.ready();
    await until('still parked', async () => (await parked(subscription))[0]?.['waiting'] === 3);
    const explained = await seriatim(
      cluster.endpoints,
      'group',
      'explain',
      TOPIC,
      subscription,
      group,
      '--json',
    );
    expect(json(explained.stdout)[0]).toMatchObject({
      state: 'parked',
      settledSequence: 1,
      lastSequence: 4,
      failures: 5,
    });
    expect(of(group)).toEqual(['first']);

    if (heals) broken.value = false;
    const file = join(directory, 'replacement');
    const { writeFileSync } = await import('node:fs');
    writeFileSync(file, 'mended');
    const given = name === 'replace' ? [...flags, file] : flags;
    const resolved = await seriatim(
      cluster.endpoints,
      ...['group', 'resolve', TOPIC, subscription, group, ...given, '--why', 'a test', '--json'],
    );
    expect(resolved.code, resolved.stderr).toBe(0);
    await send(group, 'newest');
    await until('the backlog is delivered', () => of(group).at(-1) === 'newest');
    expect(of(group)).toEqual(['first', ...expected]);
    const actions = await subscriptions.actions(TOPIC, subscription, { group });
    expect(actions.map(({ action }) => action)).toEqual([`resolve-${name}`, 'park']);
    expect(actions[0]).toMatchObject({ why: 'a test', sequence: 2 });
    await consumer.close();
  });

  it('can send its head to a dead-letter topic once, and goes on', async () => {
    await cluster.admin.createTopic({ name: 'dead', partitions: 2, replicas: 3 });
    const made = await seriatim(
      cluster.endpoints,
      ...['subscription', 'create', TOPIC, 'skipping', '--from', 'latest', '--max-deliveries', '2'],
      ...['--poison', 'skip', '--dead-letter-topic', 'dead', '--backoff', '1ms'],
    );
    expect(made.code, made.stderr).toBe(0);
    const { consumer, of } = handling('skipping', (value) => value.startsWith('bad'));
    await send('k', '1', 'bad-2', '3', 'bad-4', '5');
    await until('the others are handled', () => of('k').length === 3);
    expect(of('k')).toEqual(['1', '3', '5']);
    const letters: { value: string; headers: Record<string, string> }[] = [];
    for await (const message of new Reader({ cluster: cluster.cluster }).read({
      topic: 'dead',
      untilEnd: true,
    })) {
      const headers = Object.fromEntries(
        message.headers.map((one) => [one.name, Buffer.from(one.value).toString()]),
      );
      letters.push({ value: message.value.toString(), headers });
      expect(message.group).toBe('k');
    }
    expect(letters.map(({ value }) => value)).toEqual(['bad-2', 'bad-4']);
    expect(letters[0]?.headers).toMatchObject({
      'seriatim-dead-letter-topic': TOPIC,
      'seriatim-dead-letter-subscription': 'skipping',
      'seriatim-dead-letter-sequence': '2',
      'seriatim-dead-letter-attempts': '2',
      'seriatim-dead-letter-reason': 'bad-2 is poison',
    });
    await consumer.close();
  });
});

describe('operators', () => {
  it('pause one group or all, rewind one, and reset the whole with a dry run first', async () => {
    await subscriptions.create({ topic: TOPIC, name: 'operated', start: 'latest' });
    const { consumer, of } = handling('operated', () => false);
    await send('p', '1', '2', '3');
    await until('handled', () => of('p').length === 3);
    await subscriptions.pause(TOPIC, 'operated', { group: 'p', why: 'look' });
    await send('p', '4');
    await send('q', '1');
    await until('the other group flows', () => of('q').length === 1);
    expect(of('p')).toEqual(['1', '2', '3']);
    expect((await subscriptions.explainGroup(TOPIC, 'operated', 'p')).state).toBe('paused');
    await subscriptions.resume(TOPIC, 'operated', { group: 'p' });
    await until('it goes on', () => of('p').length === 4);

    expect(await subscriptions.rewindGroup(TOPIC, 'operated', 'p', 3)).toBe(2);
    await until('delivered again', () => of('p').length === 6);
    expect(of('p')).toEqual(['1', '2', '3', '4', '3', '4']);

    await subscriptions.pause(TOPIC, 'operated');
    const dry = await subscriptions.reset(TOPIC, 'operated', 'earliest', { dryRun: true });
    expect(dry.generation).toBe(1);
    expect(of('p')).toHaveLength(6);
    const reset = await subscriptions.reset(TOPIC, 'operated', 'earliest');
    expect(reset).toEqual({ ...dry, generation: 2 });
    await subscriptions.resume(TOPIC, 'operated');
    await until('all again', () => of('p').length === 10);
    expect(of('p').slice(6)).toEqual(['1', '2', '3', '4']);
    await consumer.close();
    await subscriptions.delete(TOPIC, 'operated');
    await expect(subscriptions.describe(TOPIC, 'operated')).rejects.toMatchObject({
      code: 'UNKNOWN_SUBSCRIPTION',
    });
  });
});

describe('a consumer that is frozen for twice its hold', () => {
  it('is refused when it wakes, and another has handled its messages with a higher token', async () => {
    await subscriptions.create({ topic: TOPIC, name: 'frozen', start: 'latest', holdMilliseconds: 1_000 });
    const fleet = new ConsumerFleet({
      endpoints: cluster.endpoints,
      topic: TOPIC,
      subscription: 'frozen',
      directory,
      workMilliseconds: 400,
    });
    try {
      const frozen = fleet.start(3);
      for (let group = 0; group < 6; group++) await send(`ice-${group}`, '1', '2', '3', '4');
      await until('it is frozen', () => fleet.froze(frozen));
      fleet.start();
      await pause(2_500);
      const woken = Date.now();
      fleet.signal(frozen, 'SIGCONT');
      await untilSettled(cluster.endpoints, TOPIC, 'frozen', 30_000);
      await fleet.stopAll();
      const entries = fleet.entries();
      const acks = entries.filter(({ what }) => what === 'ack');
      // What it settled when it woke was refused: it was handled again, with a higher token.
      const late = acks.filter((one) => one.consumer === frozen && one.at >= woken && one.at < woken + 300);
      expect(late.length).toBeGreaterThan(0);
      for (const stale of late) {
        const again = acks.filter(
          (one) => one.group === stale.group && one.sequence === stale.sequence && isLower(stale, one),
        );
        expect(again, `${stale.group} #${stale.sequence}`).toHaveLength(1);
      }
      const lost = new Set(
        entries
          .filter(({ what, consumer }) => what === 'lost' && consumer === frozen)
          .map(({ group }) => group),
      );
      const takenOver = acks.filter(({ consumer, group }) => consumer !== frozen && lost.has(group));
      expect(takenOver.length).toBeGreaterThan(0);
      for (let group = 0; group < 6; group++) {
        const own = entries.filter((one) => one.what === 'ack' && one.group === `ice-${group}`);
        expect([...new Set(own.map(({ sequence }) => sequence))].sort()).toEqual([1, 2, 3, 4]);
      }
    } finally {
      await fleet.killAll();
    }
  });
});
