import { Cluster, type Consumer } from '@seriatim/client';
import { lineOf } from './message-line.ts';
import { note, type Terminal, write } from './terminal.ts';
import type { CommonOptions } from './usage.ts';

/** Options of `consume`. */
export interface ConsumeCommandOptions extends CommonOptions {
  readonly subscription: string;
  readonly consumer?: string;
  /** Milliseconds without a message after which it ends. */
  readonly untilIdle?: number;
  readonly max?: number;
}

/** `consume`: messages of a subscription as NDJSON, each acknowledged when its line is written. */
export async function consume(
  terminal: Terminal,
  topic: string,
  options: ConsumeCommandOptions,
): Promise<void> {
  const cluster = new Cluster({ endpoints: options.endpoints });
  const { subscription, consumer: name, timeout } = options;
  try {
    const consumer = cluster.consumer({ topic, subscription, name, timeoutMilliseconds: timeout });
    consumer.events.on('holdLost', ({ group, code }) => note(terminal, `lost group "${group}": ${code}`));
    const callOff = terminal.onInterrupt?.(() => consumer.stop());
    try {
      await print(terminal, consumer, options);
    } finally {
      callOff?.();
      await consumer.close();
    }
  } finally {
    cluster.close();
  }
}

async function print(terminal: Terminal, consumer: Consumer, options: ConsumeCommandOptions): Promise<void> {
  const { untilIdle, max = Number.POSITIVE_INFINITY } = options;
  const idle = untilIdle === undefined ? undefined : setTimeout(() => consumer.stop(), untilIdle);
  let count = 0;
  try {
    for await (const message of consumer) {
      const { epoch, counter } = message.token;
      await write(
        terminal.stdout,
        lineOf(message, { attempt: message.attempt, token: `${epoch}.${counter}` }),
      );
      message.ack();
      if (++count >= max) break;
      idle?.refresh();
    }
  } finally {
    clearTimeout(idle);
  }
}
