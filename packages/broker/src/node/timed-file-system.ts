/** Measures how long the journal's syncs take: the one figure of a disk that every produce waits for. */
import type { Clock } from '@seriatim/multiraft';
import type { FileSystem, OpenFile } from '@seriatim/storage';

const JOURNAL = '/journal/';

/** `files`, with `onSync` told the milliseconds of each sync of a journal file. */
export function timedFileSystem(
  files: FileSystem,
  clock: Clock,
  onSync: (milliseconds: number) => void,
): FileSystem {
  const timed = (path: string, file: OpenFile): OpenFile => {
    if (!path.includes(JOURNAL)) return file;
    return {
      write: (position, parts) => file.write(position, parts),
      read: (position, length) => file.read(position, length),
      size: () => file.size(),
      truncate: (length) => file.truncate(length),
      preallocate: (length) => file.preallocate(length),
      close: () => file.close(),
      sync: async () => {
        const start = clock.now();
        await file.sync();
        onSync(clock.now() - start);
      },
    };
  };
  return {
    create: async (path) => timed(path, await files.create(path)),
    open: async (path, mode) => timed(path, await files.open(path, mode)),
    rename: (from, to) => files.rename(from, to),
    unlink: (path) => files.unlink(path),
    list: (directory) => files.list(directory),
    makeDirectory: (directory) => files.makeDirectory(directory),
    removeDirectory: (directory) => files.removeDirectory(directory),
    syncDirectory: (directory) => files.syncDirectory(directory),
    freeBytes: (directory) => files.freeBytes(directory),
  };
}
