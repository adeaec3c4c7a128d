import { Buffer } from 'node:buffer';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** Longest line: twice what a broker takes as a message by default. */
const LINE_BYTES_MAX = 2 * 1024 * 1024;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Opens a file of lines, unpacked where its name ends in `.gz`; `-` is standard input. */
export function openLines(file: string): Readable {
  if (file === '-') return process.stdin;
  const raw = createReadStream(file, { highWaterMark: 256 * 1024 });
  if (!file.endsWith('.gz')) return raw;
  const unpacked = createGunzip({ chunkSize: 256 * 1024 });
  raw.on('error', (error) => unpacked.destroy(error));
  return raw.pipe(unpacked);
}

/** The lines of a stream as bytes, without their ends; empty ones are left out. Memory stays at some chunks. */
export async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const piece = chunk.subarray(start, end);
      const line = trimmed(restBytes === 0 ? piece : Buffer.concat([...rest, piece]));
      rest = [];
      restBytes = 0;
      start = end + 1;
      if (line.length > 0) yield line;
    }
    if (start === chunk.length) continue;
    const tail = chunk.subarray(start);
    rest.push(tail);
    restBytes += tail.length;
    if (restBytes > LINE_BYTES_MAX) throw new Error(`a line has more than ${LINE_BYTES_MAX} bytes`);
  }
  const last = trimmed(Buffer.concat(rest));
  if (last.length > 0) yield last;
}

const trimmed = (line: Buffer): Buffer => (line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line);
