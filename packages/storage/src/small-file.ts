/** Small files that are replaced whole, in one step, and carry a checksum. */

import { dirname } from 'node:path/posix';
import { crc32 } from 'node:zlib';
import { unlinkIfThere } from './journal-file.ts';
import { readWholeFile } from './journal-scan.ts';
import { type FileSystem, StorageError } from './ports.ts';

/** What a small file holds. `damaged`: it is there, but not as it was written. */
export type SmallFile =
  | { readonly type: 'found'; readonly text: string }
  | { readonly type: 'missing' }
  | { readonly type: 'damaged' };

/** Replaces a file: the new one is durable before it takes the name, and the name before this resolves. */
export async function writeSmallFile(files: FileSystem, path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  await unlinkIfThere(files, temporary);
  const file = await files.create(temporary);
  const body = Buffer.from(text, 'utf8');
  await file.write(0, [Buffer.from(`${checksumOf(body)}\n`), body]);
  await file.sync();
  await file.close();
  await files.rename(temporary, path);
  await files.syncDirectory(dirname(path));
}

/** Reads a file written by {@link writeSmallFile}. */
export async function readSmallFile(files: FileSystem, path: string): Promise<SmallFile> {
  let bytes: Buffer;
  try {
    bytes = Buffer.from(await readWholeFile(files, path));
  } catch (error) {
    if (error instanceof StorageError && error.code === 'notFound') return { type: 'missing' };
    throw error;
  }
  const body = bytes.subarray(9);
  if (bytes.subarray(0, 9).toString('latin1') !== `${checksumOf(body)}\n`) return { type: 'damaged' };
  return { type: 'found', text: body.toString('utf8') };
}

function checksumOf(body: Uint8Array): string {
  return crc32(body).toString(16).padStart(8, '0');
}
