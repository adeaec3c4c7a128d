import { Buffer, isUtf8 } from 'node:buffer';
import type { StoredMessage } from '@seriatim/client';

/** A stored message as one line of NDJSON, with what else is to be said of it before its content. `headers` is there when it has any. */
export function lineOf(message: StoredMessage, more: Readonly<Record<string, unknown>> = {}): string {
  const { partition, offset, group, sequence, timestamp, headers } = message;
  // A list: their order counts, and names may repeat.
  const named = headers.map(({ name, value }) => ({ name, ...text('value', value) }));
  const line = {
    partition,
    offset,
    group,
    sequence,
    timestamp,
    ...more,
    ...(named.length === 0 ? {} : { headers: named }),
    ...text('key', message.key),
    ...text('value', message.value),
  };
  return `${JSON.stringify(line)}\n`;
}

/** Text where the bytes are UTF-8, else base64 under another name. */
function text(name: string, bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer)
    ? { [name]: buffer.toString('utf8') }
    : { [`${name}Base64`]: buffer.toString('base64') };
}
