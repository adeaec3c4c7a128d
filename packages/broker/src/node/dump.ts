/** `seriatim-node dump`: the files of a stopped node, line by line, for people. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type DumpLines,
  dumpImages,
  dumpJournal,
  dumpSegments,
  nodeFileSystem,
  openLevelStore,
} from '@seriatim/storage';

const EXIT_DONE = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const DUMPS: Readonly<Record<string, (directory: string) => DumpLines>> = {
  '--journal': (directory) => dumpJournal(nodeFileSystem(), directory),
  '--segments': (directory) => dumpSegments(nodeFileSystem(), directory),
  '--image': (directory) => dumpImages(openLevelStore, directory),
};

/** Writes what `args` (`--journal|--segments|--image DIR`) ask for to stdout; resolves with the exit code. */
export async function dump(args: readonly string[]): Promise<number> {
  const [what = '', directory, ...more] = args;
  const lines = DUMPS[what];
  if (lines === undefined || directory === undefined || more.length > 0) {
    process.stderr.write(
      'seriatim-node dump: needs --journal, --segments or --image, and a data directory\n',
    );
    return EXIT_USAGE;
  }
  const path = resolve(directory);
  // Opening an image store makes one where there is none.
  if (!existsSync(path) || (what === '--image' && !existsSync(`${path}/images`))) {
    process.stderr.write(`seriatim-node dump: ${path} holds no data of a node\n`);
    return EXIT_FAILED;
  }
  // `dump … | head` closes the pipe when it has seen enough.
  process.stdout.on('error', () => process.exit(EXIT_DONE));
  try {
    for await (const line of lines(path)) {
      if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
    }
    return EXIT_DONE;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`seriatim-node dump: ${reason}; is the node stopped?\n`);
    return EXIT_FAILED;
  }
}
