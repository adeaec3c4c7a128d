import { crc32 } from 'node:zlib';
import type { ShardId } from '@seriatim/multiraft';
import type { AppendBatch } from '../../src/contracts.ts';

/** A run as a test writes it down. */
export interface RunSpec {
  readonly group?: string;
  readonly life?: number;
  readonly sequence?: number;
  /** Group sequence that it must get. */
  readonly expected?: number;
  /** Values of the messages. */
  readonly values: readonly string[];
}

/** One field-15 message that holds group and value, close enough to the real thing: the partition looks only at its frame. */
export function message(group: string, value: string): Uint8Array {
  const name = Buffer.from(group);
  const content = Buffer.concat([name, Buffer.from(value)]);
  const length: number[] = [];
  let rest = content.length;
  for (; rest >= 0x80; rest >>= 7) length.push((rest & 0x7f) | 0x80);
  length.push(rest);
  return Buffer.concat([Uint8Array.of(0x7a, ...length), content]);
}

export function batch(
  runs: readonly RunSpec[],
  producer: { readonly id: number; readonly epoch: number } = { id: 0, epoch: 0 },
): AppendBatch {
  const parts: Uint8Array[] = [];
  const columns = {
    groupStart: [] as number[],
    groupEnd: [] as number[],
    life: [] as number[],
    count: [] as number[],
    producerSequence: [] as number[],
    checksum: [] as number[],
    bodyEnd: [] as number[],
  };
  let at = 0;
  for (const run of runs) {
    const group = run.group ?? '';
    const bytes = Buffer.concat(run.values.map((value) => message(group, value)));
    const first = message(group, run.values[0] ?? '');
    const headBytes = first.length - Buffer.byteLength(group) - Buffer.byteLength(run.values[0] ?? '');
    columns.groupStart.push(group === '' ? at : at + headBytes);
    columns.groupEnd.push(group === '' ? at : at + headBytes + Buffer.byteLength(group));
    columns.life.push(group === '' ? 0 : (run.life ?? 1));
    columns.count.push(run.values.length);
    columns.producerSequence.push(run.sequence ?? 0);
    columns.checksum.push(crc32(bytes));
    parts.push(bytes);
    at += bytes.length;
    columns.bodyEnd.push(at);
  }
  return {
    shard: 7 as ShardId,
    producerId: producer.id,
    producerEpoch: producer.epoch,
    runs: runs.length,
    ...columns,
    ...(runs.some(({ expected }) => expected !== undefined)
      ? { expectedSequence: runs.map(({ expected }) => expected ?? 0) }
      : {}),
    body: Buffer.concat(parts),
  };
}

/** Contents of the messages in stretches of body, group and value in one. */
export function contents(body: readonly Uint8Array[]): string[] {
  const bytes = Buffer.concat(body);
  const found: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] !== 0x7a) throw new Error(`no message at ${at}`);
    at++;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    found.push(bytes.toString('utf8', at, at + length));
    at += length;
  }
  return found;
}
