import { join } from 'node:path';
import { describe, test } from 'vitest';
import {
  fileSystemConformance,
  keyValueStoreConformance,
  logStoreConformance,
} from '../src/conformance/index.ts';
import { openLevelStore } from '../src/level-store.ts';
import { nodeFileSystem } from '../src/node-file-system.ts';
import { openWhole, temporaryDirectory } from './support/fixture.ts';

const suite = { test: (name: string, run: () => Promise<void>) => void test(name, run) };

describe('the machine’s files', () => {
  fileSystemConformance(suite, async () => ({ files: nodeFileSystem(), directory: temporaryDirectory() }));
});

describe('Level', () => {
  keyValueStoreConformance(suite, async () => {
    const directory = join(temporaryDirectory(), 'level');
    return { open: () => openLevelStore(directory) };
  });
});

describe('NodeStore', () => {
  logStoreConformance(suite, async () => {
    const directory = temporaryDirectory();
    return {
      open: async () => {
        const { store, recovered } = await openWhole(directory);
        return { store, recovered, close: () => store.close() };
      },
    };
  });
});
