/**
 * Records that come with an image: they fill a segment directory of their own, beside the shard's, which takes its place when the log
 * begins anew behind the image. Nothing is moved: a start finds the directory by the image that it belongs to.
 */
import { join } from 'node:path/posix';
import type { ShardId } from '@seriatim/multiraft';
import type { Index } from '@seriatim/raft';
import { type FileSystem, StorageError } from './ports.ts';
import { decodePiece } from './segment-copy.ts';
import { removeSegmentDirectory } from './segment-recovery.ts';
import { Serial } from './serial.ts';
import { type LogPosition, ShardSegments, type ShardSegmentsOptions } from './shard-segments.ts';
import { writeSmallFile } from './small-file.ts';

/** Says that all records up to the image are in the directory, durably. */
const WHOLE_FILE = 'whole';

/** See the head of this file. Methods are called one after the other; disk faults go to the options' `onFault`. */
export class IncomingRecords {
  /** The image's position: what comes reaches up to it, or is void. */
  readonly base: LogPosition;
  readonly #options: ShardSegmentsOptions;
  readonly #serial: Serial;
  #segments: ShardSegments | null = null;

  constructor(options: ShardSegmentsOptions, base: LogPosition) {
    this.#options = options;
    this.base = base;
    this.#serial = new Serial(options.onFault);
  }

  /** Takes a piece; one that does not follow replaces what came. Rejects when it is none. */
  async add(bytes: Uint8Array): Promise<void> {
    // A copy: the records stay in memory for a while, the transport's buffer must not.
    const { head, records } = decodePiece(Uint8Array.from(bytes), this.#options.shard);
    if (head.first + records.length - 1 > this.base.index) {
      throw new StorageError(
        'io',
        `records sent for shard ${head.shard}: beyond the image at ${this.base.index}`,
      );
    }
    let segments = this.#segments;
    if (segments === null || head.first !== segments.next || head.previousTerm !== segments.lastTerm) {
      segments = await this.#begin({ index: (head.first - 1) as Index, term: head.previousTerm });
    }
    const descriptions = new Map(records.map(({ entry, description }) => [entry, description]));
    const entries = records.map(({ entry }) => entry);
    segments.append(entries, (entry) => descriptions.get(entry) ?? null);
    await segments.settled();
  }

  /** Makes what came durable, and gives it: empty when it does not reach the image (a part is damaged where it came from). */
  async seal(): Promise<ShardSegments> {
    const { files, directory } = this.#options;
    let segments = this.#segments;
    if (segments === null || segments.next - 1 !== this.base.index || segments.lastTerm !== this.base.term) {
      segments = await this.#begin(this.base);
    }
    await segments.sync();
    await this.#serial.run(() => writeSmallFile(files, join(directory, WHOLE_FILE), ''));
    return segments;
  }

  /** Removes what came. */
  async discard(): Promise<void> {
    const segments = this.#segments;
    this.#segments = null;
    // The mark first: a directory that is only partly removed must not be taken for a whole one.
    await this.#serial.run(() => unmark(this.#options.files, this.#options.directory));
    await segments?.remove();
  }

  async #begin(base: LogPosition): Promise<ShardSegments> {
    const { files, directory } = this.#options;
    await this.discard();
    await this.#serial.run(async () => {
      await removeSegmentDirectory(files, directory);
      await files.makeDirectory(directory);
    });
    this.#segments = ShardSegments.behind(this.#options, base);
    return this.#segments;
  }
}

/** Name of a shard's directory of segments: its first, or the one for records that come with the image at `base`. */
export function directoryName(shard: ShardId, base?: Index): string {
  return base === undefined ? String(shard) : `${shard}.${base}`;
}

/** The shard that a directory of segments belongs to, and the image it came with (0: with none). */
export function ownerOfDirectory(name: string): { readonly shard: ShardId; readonly base: Index } {
  const [shard = '', base = '0'] = name.split('.');
  return { shard: Number(shard) as ShardId, base: Number(base) as Index };
}

/**
 * Which of a shard's directories `names` holds its segments, when its newest image is at `image`: the last one that came with an
 * image that was taken, else the shard's first.
 */
export async function currentDirectory(
  files: FileSystem,
  root: string,
  names: readonly string[],
  shard: ShardId,
  image: Index,
): Promise<string> {
  const came = names
    .map((name) => ({ name, ...ownerOfDirectory(name) }))
    .filter((found) => found.shard === shard && found.base > 0 && found.base <= image)
    .sort((a, b) => b.base - a.base);
  for (const { name } of came) {
    if ((await files.list(join(root, name))).includes(WHOLE_FILE)) return name;
  }
  return directoryName(shard);
}

async function unmark(files: FileSystem, directory: string): Promise<void> {
  try {
    await files.unlink(join(directory, WHOLE_FILE));
    await files.syncDirectory(directory);
  } catch (error) {
    if (!(error instanceof StorageError && error.code === 'notFound')) throw error;
  }
}
