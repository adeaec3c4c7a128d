import type { Buffer } from 'node:buffer';
import { Writable } from 'node:stream';
import type { Server } from '@grpc/grpc-js';
import { RefusalError, unaryHandler } from '@seriatim/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeSubscriptions } from '../../client/test/consumer/fake-subscriptions.ts';
import type { FakeBroker } from '../../client/test/fake-broker.ts';
import { run } from '../src/program.ts';
import { serveConsume } from './consume-server.ts';
import { DESCRIBED, LAG } from './subscription-server.ts';

let broker: FakeBroker;
let subscriptions: FakeSubscriptions;
let server: Server;
let endpoint: string;
/** Code that DescribeSubscription has for a partition. */
let codeOf: (partition: number) => string;

class Sink extends Writable {
  text = '';
  onWrite: () => void = () => {};
  /** A reader that takes so long for a line. */
  milliseconds = 0;
  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.text += chunk.toString();
    this.onWrite();
    if (this.milliseconds === 0) done();
    else setTimeout(done, this.milliseconds);
  }
}

/** Consumes from the fake broker; `prepare` gets the output and what interrupts. */
async function consume(
  argv: readonly string[],
  prepare: (stdout: Sink, interrupt: () => void) => void = () => {},
) {
  const stdout = new Sink({ highWaterMark: 1 });
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
  codeOf = () => '';
  ({ broker, subscriptions, server, endpoint } = await serveConsume('t', 2, {
    DescribeSubscription: unaryHandler(async () => ({
      ...DESCRIBED,
      partitions: [0, 1].map((partition) => ({ ...LAG, partition, code: codeOf(partition) })),
    })),
  }));
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
    [['--subscription', 's', '--until-idle', '35792m'], '35792m is longer than 2147483647 ms'],
    [['--subscription', 's', '--timeout', '2147483648'], '2147483648 is not a whole number'],
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

describe('seriatim consume --until-idle', () => {
  it('is not over before a partition without leader has one again', async () => {
    broker.partition('t', 1).leader = -1;
    subscriptions.publish(0, 'early', 'v');
    subscriptions.publish(1, 'late', 'v');
    const elected = setTimeout(() => subscriptions.changeLeader(1, 0), 600);
    const { code, lines } = await consume(['--subscription', 's', '--until-idle', '100ms']);
    clearTimeout(elected);
    expect(code).toBe(0);
    expect(lines.map(({ group }) => group)).toEqual(['early', 'late']);
  });

  it('is not over when a partition has lost its leader', async () => {
    subscriptions.publish(0, 'early', 'v');
    const args = ['--subscription', 's', '--until-idle', '500ms'];
    const { code, lines, err } = await consume(args, (stdout) => {
      stdout.onWrite = () => {
        stdout.onWrite = () => {};
        subscriptions.changeLeader(1, -1);
        setTimeout(() => subscriptions.changeLeader(1, 0), 900);
        setTimeout(() => subscriptions.publish(1, 'late', 'v'), 1100);
      };
    });
    expect(code).toBe(0);
    expect(lines.map(({ group }) => group)).toEqual(['early', 'late']);
    // What LAG says of two partitions.
    expect(err).toContain('idle; 14 messages are not settled');
  });

  it('fails when a partition stays without leader', async () => {
    broker.partition('t', 1).leader = -1;
    const args = ['--subscription', 's', '--until-idle', '50ms', '--timeout', '700'];
    const { code, err } = await consume(args);
    expect(code).toBe(1);
    expect(err).toContain('not known whether anything is left, for 700 ms: nobody serves partition 1');
  });

  it('fails when the cluster is stopped, and says on stderr what it tries', async () => {
    subscriptions.publish(0, 'g', 'v');
    subscriptions.refuseOpen = () => new RefusalError('SHUTTING_DOWN', 'stopping');
    const args = ['--subscription', 's', '--until-idle', '50ms', '--timeout', '1000'];
    const refused = await consume(args);
    expect(refused.code).toBe(1);
    expect(refused.err.match(/no stream to 127.0.0.1:\d+, trying again: SHUTTING_DOWN: /g)).toHaveLength(1);
    server.forceShutdown();
    const stopped = await consume(args);
    expect(stopped.code).toBe(1);
    expect(stopped.lines).toEqual([]);
  });

  it('is not over before the leader of each partition answers for the subscription', async () => {
    let asked = 0;
    codeOf = (partition) => (partition === 1 && ++asked <= 3 ? 'NO_LEADER' : '');
    expect(await consume(['--subscription', 's', '--until-idle', '50ms'])).toMatchObject({ code: 0 });
    expect(asked).toBe(4);
    codeOf = () => 'NO_LEADER';
    const never = await consume(['--subscription', 's', '--until-idle', '50ms', '--timeout', '400']);
    expect(never).toMatchObject({ code: 1, err: expect.stringContaining('partition 0: NO_LEADER') });
  });

  it('does not count the time for which its output is not taken', async () => {
    for (let index = 0; index < 3; index++) subscriptions.publish(0, 'g', `${index}`);
    const args = ['--subscription', 's', '--until-idle', '150ms'];
    const { code, lines } = await consume(args, (stdout) => {
      stdout.milliseconds = 400;
    });
    expect(code).toBe(0);
    expect(lines.map(({ value }) => value)).toEqual(['0', '1', '2']);
  });
});
