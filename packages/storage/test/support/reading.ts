import type { EntriesRead } from '@seriatim/multiraft';
import type { Entry, Index, SnapshotMeta, Term } from '@seriatim/raft';
import type { NodeStore } from '../../src/node-store.ts';
import { configuration, SHARD } from './fixture.ts';

export const meta = (index: number, term = 1): SnapshotMeta => ({
  index: index as Index,
  term: term as Term,
  configuration,
});
export const chunksOf = (text: string): Uint8Array[] => [Buffer.from(`${text}-1`), Buffer.from(`${text}-2`)];
export const indexes = (found: readonly Entry[]): number[] => found.map(({ index }) => index);

export async function readAll(store: NodeStore, from: number): Promise<number[]> {
  const all: number[] = [];
  for (let next = from; ; ) {
    const found: EntriesRead = await store.read(SHARD, next as Index, 300);
    if (found.type !== 'entries' || found.entries.length === 0) return all;
    all.push(...indexes(found.entries));
    next = (found.entries[found.entries.length - 1]?.index ?? 0) + 1;
  }
}

export async function imageText(store: NodeStore): Promise<string | null> {
  const image = await store.image(SHARD);
  if (image === null) return null;
  const texts: string[] = [];
  for await (const chunk of image.chunks) texts.push(Buffer.from(chunk).toString());
  return `${image.meta.index}:${texts.join()}`;
}
