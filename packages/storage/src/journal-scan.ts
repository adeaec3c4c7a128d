/**
 * Reads journal files and judges what is wrong with them. The one thing that a crash can leave is a broken last frame: it was
 * never confirmed to anybody, and is cut. Whatever else is not as it was written means that confirmed frames may be missing:
 * the journal is lost, and with it this node's vote.
 */
import { join } from 'node:path/posix';
import {
  aligned,
  decodeHead,
  FRAME_ALIGNMENT,
  FRAME_HEADER_BYTES,
  frameBodyAt,
  frameHeaderAt,
  type JournalHead,
} from './journal-format.ts';
import type { FileSystem } from './ports.ts';

/** A sound frame. */
export interface JournalFrame {
  readonly number: number;
  /** Where it lies in its file. */
  readonly position: number;
  /** A view into the file's bytes. */
  readonly body: Uint8Array;
}

/** One file as it was read. */
export interface ScannedFile {
  readonly head: JournalHead;
  readonly frames: readonly JournalFrame[];
  /** End of the last sound frame. */
  readonly end: number;
  /** Length of the file as it was found. */
  readonly size: number;
  /** `torn`: bytes of a frame that was being written lie behind. */
  readonly tail: 'clean' | 'torn';
  /** A text when frames that were confirmed are damaged. */
  readonly damage: string | null;
}

const FILE_SUFFIX = '.journal';

/** Name of a file of the journal. */
export function journalFileName(file: number): string {
  return `${String(file).padStart(12, '0')}${FILE_SUFFIX}`;
}

/** Numbers of the journal files in a directory, rising. */
export async function listJournalFiles(files: FileSystem, directory: string): Promise<readonly number[]> {
  const names = await files.list(directory);
  return names
    .filter((name) => name.endsWith(FILE_SUFFIX))
    .map((name) => Number(name.slice(0, -FILE_SUFFIX.length)))
    .sort((a, b) => a - b);
}

/** Reads a whole file. */
export async function readWholeFile(files: FileSystem, path: string): Promise<Uint8Array> {
  const file = await files.open(path, 'read');
  try {
    return await file.read(0, await file.size());
  } finally {
    await file.close();
  }
}

/** Reads and scans one file; a text says why its head can't be used. `next`: numbers that its first frame may have; empty: any. */
export async function scanJournalFile(
  files: FileSystem,
  directory: string,
  file: number,
  next: readonly number[],
): Promise<ScannedFile | string> {
  const bytes = await readWholeFile(files, join(directory, journalFileName(file)));
  const head = decodeHead(bytes);
  if (typeof head === 'string') return head;
  return scanFrames(bytes, head, next);
}

/** Splits a file into frames. */
export function scanFrames(bytes: Uint8Array, head: JournalHead, next: readonly number[]): ScannedFile {
  const frames: JournalFrame[] = [];
  let expected = next;
  let position = FRAME_ALIGNMENT;
  const ended = (tail: 'clean' | 'torn', damage: string | null): ScannedFile => ({
    head,
    frames,
    end: position,
    size: bytes.length,
    tail,
    damage,
  });
  for (;;) {
    const header = frameHeaderAt(bytes, position, head.salt);
    if (header === null) return ended(...judgeUnreadable(bytes, position, head.salt));
    if (expected.length > 0 && !expected.includes(header.number)) {
      return ended('clean', `frame ${header.number} at ${position} where ${expected.join(' or ')} was to be`);
    }
    const body = frameBodyAt(bytes, position, header, head.salt);
    const end = aligned(position + FRAME_HEADER_BYTES + header.length);
    if (body === null) {
      // The next frame is begun only when this one is durable: whatever lies behind proves that this one was.
      const proven = end < bytes.length && !isZero(bytes, end);
      return ended('torn', proven ? `frame ${header.number} at ${position} is damaged` : null);
    }
    frames.push({ number: header.number, position, body });
    expected = [header.number + 1];
    position = end;
  }
}

/** No sound header where the next frame would be: the end, or a torn frame, or damage when a later frame can be read. */
function judgeUnreadable(
  bytes: Uint8Array,
  position: number,
  salt: number,
): ['clean' | 'torn', string | null] {
  for (let at = position + FRAME_ALIGNMENT; at < bytes.length; at += FRAME_ALIGNMENT) {
    const later = frameHeaderAt(bytes, at, salt);
    if (later !== null) return ['torn', `frame before ${later.number} at ${position} can't be read`];
  }
  return [isZero(bytes, position) ? 'clean' : 'torn', null];
}

const zeros = Buffer.alloc(64 * 1024);

function isZero(bytes: Uint8Array, from: number): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = from; at < buffer.length; at += zeros.length) {
    const piece = buffer.subarray(at, Math.min(at + zeros.length, buffer.length));
    if (piece.compare(zeros, 0, piece.length) !== 0) return false;
  }
  return true;
}
