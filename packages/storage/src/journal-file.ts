/** One file of the journal that is being written. */

import { join } from 'node:path/posix';
import type { ShardId } from '@seriatim/multiraft';
import type { Index } from '@seriatim/raft';
import { encodeHead, FRAME_ALIGNMENT } from './journal-format.ts';
import { journalFileName } from './journal-scan.ts';
import type { FileSystem, OpenFile } from './ports.ts';

/** What is to be remembered of a file until it may go. */
export interface JournalFileExtent {
  readonly file: number;
  /** Bytes used. */
  bytes: number;
  /** Per shard the highest index that has its newest version in this file. */
  readonly highest: Map<ShardId, Index>;
}

/** A file open for frames. */
export interface WritableJournalFile {
  readonly extent: JournalFileExtent;
  readonly handle: OpenFile;
  readonly salt: number;
}

/** What a new file is made of. */
export interface JournalFileOptions {
  readonly files: FileSystem;
  readonly directory: string;
  readonly journal: number;
  readonly bytes: number;
  readonly salt: number;
}

/**
 * Makes a file: head and zeros are durable before it gets its name, and the name before this resolves. So a file that has its
 * name has a sound head, or was damaged later.
 */
export async function createJournalFile(
  options: JournalFileOptions,
  file: number,
): Promise<WritableJournalFile> {
  const { files, directory, bytes, salt } = options;
  const path = join(directory, journalFileName(file));
  const temporary = `${path}.new`;
  await unlinkIfThere(files, temporary);
  const handle = await files.create(temporary);
  await handle.write(0, [encodeHead({ file, journal: options.journal, bytes, salt })]);
  await handle.preallocate(bytes);
  await handle.sync();
  await files.rename(temporary, path);
  await files.syncDirectory(directory);
  return { extent: { file, bytes: FRAME_ALIGNMENT, highest: new Map() }, handle, salt };
}

/** Removes a file that may not exist. */
export async function unlinkIfThere(files: FileSystem, path: string): Promise<void> {
  try {
    await files.unlink(path);
  } catch (error) {
    if ((error as { readonly code?: string }).code !== 'notFound') throw error;
  }
}
