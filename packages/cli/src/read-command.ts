import { type Buffer, isUtf8 } from 'node:buffer';
import { Reader, type ReadFrom, type StoredMessage } from '@seriatim/client';
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
    for await (const batch of batches) await write(terminal.stdout, batch.map(lineOf).join(''));
  } finally {
    reader.close();
  }
}

function lineOf(message: StoredMessage): string {
  const { partition, offset, group, sequence, timestamp } = message;
  const line = {
    partition,
    offset,
    group,
    sequence,
    timestamp,
    ...text('key', message.key),
    ...text('value', message.value),
  };
  return `${JSON.stringify(line)}\n`;
}

/** Text where the bytes are UTF-8, else base64 under another name. */
function text(name: string, bytes: Buffer): Record<string, string> {
  return isUtf8(bytes) ? { [name]: bytes.toString('utf8') } : { [`${name}Base64`]: bytes.toString('base64') };
}
