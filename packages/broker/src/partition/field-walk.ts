/** Steps over field-15 messages in a body, by tag and length; message bytes are not looked at. */
import { ShardFault } from './shard-fault.ts';

/** Tag of field 15 with wire type 2. */
const MESSAGE_TAG = 0x7a;

/** End of the message that begins at `at`. Throws {@link ShardFault} when there is none before `end`. */
export function messageEnd(data: Uint8Array, at: number, end: number): number {
  if (data[at] !== MESSAGE_TAG) throw new ShardFault(`no message at byte ${at} of an entry`);
  let length = 0;
  let position = at + 1;
  for (let scale = 1; ; scale *= 0x80) {
    const byte = data[position++];
    if (byte === undefined || scale > 2 ** 28) throw new ShardFault(`message length at byte ${at} is broken`);
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  position += length;
  if (position > end) throw new ShardFault(`message at byte ${at} of an entry runs over its run`);
  return position;
}
