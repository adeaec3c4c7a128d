import { type Buffer, isUtf8 } from 'node:buffer';
import type { StoredMessage } from '@seriatim/client';

/** A stored message as one line of NDJSON, with what else is to be said of it before its content. */
export function lineOf(message: StoredMessage, more: Readonly<Record<string, unknown>> = {}): string {
  const { partition, offset, group, sequence, timestamp } = message;
  const line = {
    partition,
    offset,
    group,
    sequence,
    timestamp,
    ...more,
    ...text('key', message.key),
    ...text('value', message.value),
  };
  return `${JSON.stringify(line)}\n`;
}

/** Text where the bytes are UTF-8, else base64 under another name. */
function text(name: string, bytes: Buffer): Record<string, string> {
  return isUtf8(bytes) ? { [name]: bytes.toString('utf8') } : { [`${name}Base64`]: bytes.toString('base64') };
}
