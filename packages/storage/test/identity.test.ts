import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeId } from '@seriatim/multiraft';
import { describe, expect, test } from 'vitest';
import { type Identity, IdentityKeeper, readIdentity } from '../src/identity.ts';
import { nodeFileSystem } from '../src/node-file-system.ts';
import { temporaryDirectory } from './support/fixture.ts';

const files = nodeFileSystem();
const fresh: Identity = {
  clusterId: '',
  node: 1 as NodeId,
  bootNumber: 1,
  journal: 5,
  journalBegun: false,
  losses: [],
  peers: {},
};

describe('IdentityKeeper', () => {
  test('keeps what it was told, in a file that is replaced whole', async () => {
    const directory = temporaryDirectory();
    const keeper = new IdentityKeeper(files, directory, fresh);
    await Promise.all([
      keeper.joinCluster('c-1'),
      keeper.notePeer(2 as NodeId, 7),
      keeper.update({ bootNumber: 2 }),
    ]);
    expect(await readIdentity(files, directory)).toEqual({ type: 'found', identity: keeper.current });
    expect(keeper.current).toMatchObject({ clusterId: 'c-1', bootNumber: 2, peers: { 2: 7 } });
    expect(readdirSync(directory)).toEqual(['identity']);
  });

  test('belongs to one cluster', async () => {
    const keeper = new IdentityKeeper(files, temporaryDirectory(), fresh);
    await keeper.joinCluster('c-1');
    await keeper.joinCluster('c-1');
    await expect(keeper.joinCluster('c-2')).rejects.toThrow(/belongs to cluster c-1/);
  });

  test('knows a peer whose disk went back in time by its boot number', async () => {
    const directory = temporaryDirectory();
    const keeper = new IdentityKeeper(files, directory, fresh);
    const peer = 2 as NodeId;
    expect(keeper.seenBoot(peer)).toBe(0);
    expect(await keeper.notePeer(peer, 3)).toBe('newer');
    expect(await keeper.notePeer(peer, 3)).toBe('known');
    expect(await keeper.notePeer(peer, 2)).toBe('older');
    expect(keeper.seenBoot(peer)).toBe(3);
  });

  test('a file with any byte changed is not believed', async () => {
    const directory = temporaryDirectory();
    expect((await readIdentity(files, directory)).type).toBe('missing');
    await new IdentityKeeper(files, directory, fresh).update({});
    const path = join(directory, 'identity');
    const bytes = readFileSync(path);
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 2;
      writeFileSync(path, flipped);
      expect((await readIdentity(files, directory)).type, `byte ${at}`).toBe('damaged');
    }
  });
});
