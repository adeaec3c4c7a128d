import { Reader, type ReadFrom } from '@seriatim/client';
import { lineOf } from './message-line.ts';
import { type Terminal, write } from './terminal.ts';
import { type CommonOptions, UsageError } from './usage.ts';

/** Options of `read`. */
export interface ReadCommandOptions extends CommonOptions {
  readonly partition?: number;
  readonly group?: string;
  readonly from: ReadFrom;
  readonly untilEnd: boolean;
}

/** `read`: stored messages as NDJSON, one a line. */
export async function read(terminal: Terminal, topic: string, options: ReadCommandOptions): Promise<void> {
  const { partition, group, from, untilEnd } = options;
  if (typeof from === 'number' && partition === undefined) {
    throw new UsageError('--from with an offset needs --partition');
  }
  const reader = new Reader({ endpoints: options.endpoints });
  try {
    const batches = reader.readBatches({
      topic,
      partition,
      group,
      from,
      untilEnd,
      timeoutMilliseconds: options.timeout,
    });
    for await (const batch of batches)
      await write(terminal.stdout, batch.map((message) => lineOf(message)).join(''));
  } finally {
    reader.close();
  }
}
