import type { Buffer } from 'node:buffer';
import { Writable } from 'node:stream';
import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import { subscriptionsService, toServiceError } from '@seriatim/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../client/src/system-clock.ts';
import { FakeSubscriptions } from '../../client/test/consumer/fake-subscriptions.ts';
import { FakeBroker } from '../../client/test/fake-broker.ts';
import { serveFake } from '../../client/test/fake-server.ts';
import { run } from '../src/program.ts';

let broker: FakeBroker;
let subscriptions: FakeSubscriptions;
let server: Server;
let endpoint: string;

class Sink extends Writable {
  text = '';
  onWrite: () => void = () => {};
  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.text += chunk.toString();
    this.onWrite();
    done();
  }
}

/** Consumes from the fake broker; `prepare` gets the output and what interrupts. */
async function consume(
  argv: readonly string[],
  prepare: (stdout: Sink, interrupt: () => void) => void = () => {},
) {
  const stdout = new Sink();
  const stderr = new Sink();
  let interrupt = (): void => {};
  prepare(stdout, () => interrupt());
  const code = await run(['consume', 't', ...argv], {
    stdout,
    stderr,
    env: { SERIATIM_ENDPOINTS: endpoint },
    onInterrupt: (task) => {
      interrupt = task;
      return () => {};
    },
  });
  const lines = stdout.text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { code, lines, err: stderr.text };
}

beforeEach(async () => {
  broker = new FakeBroker(['unbound']);
  broker.createTopic('t', 2);
  subscriptions = new FakeSubscriptions(broker, systemClock, 't');
  const fake = await serveFake(broker, 0);
  server = fake.server;
  endpoint = `127.0.0.1:${fake.port}`;
  broker.addresses[0] = endpoint;
  server.addService(subscriptionsService, {
    Consume: (stream: ServerDuplexStream<Buffer, Buffer>) => {
      const call = subscriptions.consume(endpoint, {
        response: (bytes) => stream.write(bytes),
        ended: (error) => (error === null ? stream.end() : stream.emit('error', toServiceError(error))),
      });
      stream.on('data', (bytes: Buffer) => call.send(bytes));
      stream.on('cancelled', () => call.cancel());
    },
  });
});
afterEach(() => server.forceShutdown());

describe('seriatim consume', () => {
  it('prints each message once it has it, and acknowledges all that it printed', async () => {
    for (let index = 0; index < 40; index++) subscriptions.publish(index % 2, `g${index % 4}`, `${index}`);
    subscriptions.publish(0, 'raw', Uint8Array.of(0xff, 0xfe));
    const { code, lines } = await consume(['--subscription', 's', '--until-idle', '300ms', '--json']);
    expect(code).toBe(0);
    expect(lines).toHaveLength(41);
    expect(lines.find(({ group }) => group === 'g1')).toMatchObject({
      partition: 1,
      offset: 0,
      sequence: 1,
      attempt: 1,
      key: 'k',
      value: '1',
      token: expect.stringMatching(/^1\.[1-9]\d*$/),
    });
    expect(lines.find(({ group }) => group === 'raw')).toMatchObject({ valueBase64: '//4=' });
    for (let group = 0; group < 4; group++) expect(subscriptions.settled(group % 2, `g${group}`)).toBe(10);
    expect(subscriptions.streams).toEqual([]);
  });

  it('stops after so many, and leaves the rest to others', async () => {
    for (let index = 0; index < 10; index++) subscriptions.publish(0, 'g', `${index}`);
    const first = await consume(['--subscription', 's', '--max', '3', '--consumer', 'me']);
    expect(first.lines.map(({ value }) => value)).toEqual(['0', '1', '2']);
    expect(subscriptions.settled(0, 'g')).toBe(3);
    expect(subscriptions.opens[0]?.open.consumer).toBe('me');
    const second = await consume(['--subscription', 's', '--max', '7']);
    expect(second.lines.map(({ sequence }) => sequence)).toEqual([4, 5, 6, 7, 8, 9, 10]);
  });

  it('leaves in order when it is interrupted', async () => {
    subscriptions.publish(0, 'g', 'v');
    const { code, lines } = await consume(['--subscription', 's'], (stdout, interrupt) => {
      stdout.onWrite = () => setImmediate(interrupt);
    });
    expect(code).toBe(0);
    expect(lines).toHaveLength(1);
    expect(subscriptions.settled(0, 'g')).toBe(1);
    expect(subscriptions.streams).toEqual([]);
  });

  it('does not acknowledge what nobody reads any more', async () => {
    for (let index = 0; index < 3; index++) subscriptions.publish(0, 'g', `${index}`);
    const { code } = await consume(['--subscription', 's'], (stdout) => {
      stdout.onWrite = () => {
        if (stdout.text.includes('"sequence":2')) stdout.destroy();
      };
    });
    expect(code).toBe(0);
    expect(subscriptions.settled(0, 'g')).toBeLessThan(3);
    expect(subscriptions.streams).toEqual([]);
  });

  it.each([
    [[], 'subscription'],
    [['--subscription', 's', '--until-idle', 'soon'], 'soon is not a time'],
    [['--subscription', 's', '--max', '0'], '0 is not a whole number'],
  ])('says what is wrong with %j', async (argv, text) => {
    const { code, err } = await consume(argv);
    expect(code).toBe(2);
    expect(err).toContain(text);
  });

  it('fails for a topic that is not there', async () => {
    broker.topics.clear();
    const { code, err } = await consume(['--subscription', 's', '--timeout', '3000']);
    expect(code).toBe(1);
    expect(err).toContain('UNKNOWN_TOPIC');
  });
});
