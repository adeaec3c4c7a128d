/**
 * Who this node is, how often it has started, and how often it has seen its peers start. A disk that went
 * back in time shows a boot number that a peer has already seen surpassed; a journal that is gone shows by its name here.
 */

import { join } from 'node:path/posix';
import type { NodeId } from '@seriatim/multiraft';
import type { FileSystem } from './ports.ts';
import { readSmallFile, writeSmallFile } from './small-file.ts';

const IDENTITY_FILE = 'identity';
const IDENTITY_VERSION = 1;

/** What a node knows of itself. */
export interface Identity {
  /** Empty: the node has not taken part in forming a cluster yet. */
  readonly clusterId: string;
  readonly node: NodeId;
  /** 1 at the first start, one more at each. */
  readonly bootNumber: number;
  /** Name of its journal. */
  readonly journal: number;
  /** False until the first file of the journal is durable: before that its absence is no loss. */
  readonly journalBegun: boolean;
  /** Boot numbers at which the journal was found lost and begun anew. */
  readonly losses: readonly number[];
  /** Highest boot number seen of each peer. */
  readonly peers: Readonly<Record<string, number>>;
}

/** `damaged`: there is an identity file but it can't be trusted; nothing else may be either. */
export type IdentityRead =
  | { readonly type: 'found'; readonly identity: Identity }
  | { readonly type: 'missing' | 'damaged' };

/** Reads the identity in a node's directory. Throws for an unknown version. */
export async function readIdentity(files: FileSystem, directory: string): Promise<IdentityRead> {
  const read = await readSmallFile(files, join(directory, IDENTITY_FILE));
  if (read.type !== 'found') return read;
  const { version, ...identity } = JSON.parse(read.text) as Identity & { readonly version: number };
  if (version !== IDENTITY_VERSION)
    throw new Error(`identity of version ${version}, known is ${IDENTITY_VERSION}`);
  return { type: 'found', identity };
}

/** Replaces the identity; durable when it resolves. */
export function writeIdentity(files: FileSystem, directory: string, identity: Identity): Promise<void> {
  return writeSmallFile(
    files,
    join(directory, IDENTITY_FILE),
    JSON.stringify({ version: IDENTITY_VERSION, ...identity }),
  );
}

/** Keeps a node's identity; changes are written one behind the other. */
export class IdentityKeeper {
  readonly #files: FileSystem;
  readonly #directory: string;
  #identity: Identity;
  #last: Promise<void> = Promise.resolve();

  constructor(files: FileSystem, directory: string, identity: Identity) {
    this.#files = files;
    this.#directory = directory;
    this.#identity = identity;
  }

  get current(): Identity {
    return this.#identity;
  }

  /** Takes part in a cluster: set once. Rejects when the node belongs to another one. */
  async joinCluster(clusterId: string): Promise<void> {
    const known = this.#identity.clusterId;
    if (known === clusterId) return;
    if (known !== '') throw new Error(`this node belongs to cluster ${known}, not to ${clusterId}`);
    await this.update({ clusterId });
  }

  /**
   * Notes a peer's boot number. `older`: a higher one was seen before, so that peer's disk went back in time and it must not
   * vote. Resolves when a new number is durable.
   */
  async notePeer(peer: NodeId, bootNumber: number): Promise<'known' | 'newer' | 'older'> {
    const seen = this.#identity.peers[peer] ?? 0;
    if (bootNumber === seen) return 'known';
    if (bootNumber < seen) return 'older';
    await this.update({ peers: { ...this.#identity.peers, [peer]: bootNumber } });
    return 'newer';
  }

  /** Highest boot number seen of a peer, 0: it was never seen. */
  seenBoot(peer: NodeId): number {
    return this.#identity.peers[peer] ?? 0;
  }

  /** Changes fields; durable when it resolves. */
  update(change: Partial<Identity>): Promise<void> {
    this.#identity = { ...this.#identity, ...change };
    const identity = this.#identity;
    const written = this.#last.then(() => writeIdentity(this.#files, this.#directory, identity));
    this.#last = written.catch(() => {});
    return written;
  }
}
