import type { Index, Term } from '@seriatim/raft';
import { describe, expect, test } from 'vitest';
import { type DumpLines, dumpImages, dumpJournal, dumpSegments } from '../src/dump.ts';
import { openLevelStore } from '../src/level-store.ts';
import { nodeFileSystem } from '../src/node-file-system.ts';
import {
  configuration,
  describeEntry,
  entries,
  openWhole,
  REPLICA,
  SHARD,
  temporaryDirectory,
  write,
} from './support/fixture.ts';

async function all(lines: DumpLines): Promise<string> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found.join('\n');
}

describe('dump', () => {
  test('shows journal, segments and images of a stopped node', async () => {
    const directory = temporaryDirectory();
    const { store } = await openWhole(directory);
    await write(store, entries(1, 40, 100), { term: 3 });
    store.committed(SHARD, entries(1, 40, 100), describeEntry);
    await store.checkpoint(SHARD, REPLICA, { index: 40 as Index, term: 1 as Term, configuration }, [
      Buffer.from('state'),
    ]);
    await store.close();
    const files = nodeFileSystem();
    const journal = await all(dumpJournal(files, directory));
    expect(journal).toContain('"bootNumber":1');
    expect(journal).toMatch(/state shard 7 replica 3 term 3 vote 0/);
    expect(journal).toMatch(/entry shard 7 index 40 term 1 entryType command data 100 bytes/);
    const segments = await all(dumpSegments(files, directory));
    expect(segments).toMatch(
      /at 64 index 1 term 1 command data 100 bytes offset 0 count 2 timestamp 10 groups 1/,
    );
    expect(segments).toMatch(/index \d+\.index last \d+ offsets 0 to \d+/);
    const images = await all(dumpImages(openLevelStore, directory));
    expect(images).toMatch(/shard 7 generation 1 replica 3 index 40 term 1 chunks 1 voters 3/);
    expect(images).toContain('complete, 5 bytes');
    expect(journal + segments + images).not.toContain('DAMAGED');
  });
});
