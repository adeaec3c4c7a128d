/** Puts the records of a journal together again: what each shard's log and vote were when it was written last. */

import { join } from 'node:path/posix';
import type { ShardId } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, Term } from '@seriatim/raft';
import { decodeRecords, type JournalRecord } from './journal-format.ts';
import { type JournalFrame, listJournalFiles, scanJournalFile } from './journal-scan.ts';
import type { FileSystem } from './ports.ts';

/** A shard as the journal knows it. */
export interface ReplayedShard {
  readonly shard: ShardId;
  replica: ReplicaId;
  term: Term;
  vote: ReplicaId;
  /** Last index of the log; entries from {@link first} on are in {@link entries}, older ones are in files that are gone. */
  last: Index;
  commit: Index;
  /** Copies, dense, up to `last`. */
  entries: Entry[];
}

/** A file that stays, with the highest index per shard that has its newest version in it. */
export interface ReplayedFile {
  readonly file: number;
  readonly bytes: number;
  readonly highest: Map<ShardId, Index>;
}

/** A journal that is whole. */
export interface ReplayedJournal {
  readonly type: 'sound';
  readonly shards: Map<ShardId, ReplayedShard>;
  readonly files: readonly ReplayedFile[];
  /** Number of the next frame. */
  readonly nextFrame: number;
  /** Number of the next file. */
  readonly nextFile: number;
  /** Files without a sound frame at the end, to be removed. */
  readonly leftover: readonly number[];
}

/** This node has lost its journal: it must not vote. */
export interface LostJournal {
  readonly type: 'lost';
  readonly reason: string;
}

/** Reads the journal in `directory`. `keep` says whether an entry is still wanted (it is above the shard's image). */
export async function replayJournal(
  files: FileSystem,
  directory: string,
  journal: number,
  keep: (shard: ShardId, index: Index) => boolean,
): Promise<ReplayedJournal | LostJournal> {
  const numbers = await listJournalFiles(files, directory);
  const replay = new Replay(keep);
  for (const [i, number] of numbers.entries()) {
    const lost = (reason: string): LostJournal => ({
      type: 'lost',
      reason: `${join(directory, String(number))}: ${reason}`,
    });
    const isLast = i === numbers.length - 1;
    if (i > 0 && number !== (numbers[i - 1] ?? 0) + 1) return lost(`file ${number - 1} is missing`);
    const scanned = await scanJournalFile(files, directory, number, replay.mayFollow);
    if (typeof scanned === 'string') return lost(scanned);
    if (scanned.head.journal !== journal || scanned.head.file !== number)
      return lost('belongs to another journal');
    if (scanned.damage !== null) return lost(scanned.damage);
    if (scanned.frames.length === 0) {
      if (!isLast) return lost('has no readable frame, but a later file exists');
      replay.leftover.push(number);
      continue;
    }
    replay.begin(number, scanned.end, scanned.size < scanned.head.bytes);
    const contradiction = replay.frames(scanned.frames);
    if (contradiction !== null) return lost(contradiction);
  }
  // A file is cut to its used length only after the first frame of the next one was durable.
  if (replay.lastIsShortened)
    return { type: 'lost', reason: `${directory}: the file behind the last readable one is gone` };
  return replay.result();
}

class Replay {
  /** Numbers that the first frame of the next file may have; empty: any. */
  mayFollow: readonly number[] = [];
  readonly leftover: number[] = [];
  lastIsShortened = false;
  readonly #keep: (shard: ShardId, index: Index) => boolean;
  readonly #shards = new Map<ShardId, ReplayedShard>();
  /** Shards of which the end of the log was told. */
  readonly #lastKnown = new Set<ShardId>();
  readonly #files: ReplayedFile[] = [];
  #lastFile = 0;

  constructor(keep: (shard: ShardId, index: Index) => boolean) {
    this.#keep = keep;
  }

  begin(file: number, bytes: number, isShortened: boolean): void {
    this.lastIsShortened = isShortened;
    this.#files.push({ file, bytes, highest: new Map() });
    this.#lastFile = file;
  }

  /** Takes the frames of the file begun last; a text says what contradicts what came before. */
  frames(frames: readonly JournalFrame[]): string | null {
    for (const frame of frames) {
      for (const record of decodeRecords(frame.body)) {
        const contradiction = this.#apply(record);
        if (contradiction !== null) return `frame ${frame.number}: shard ${record.shard}: ${contradiction}`;
      }
      // An empty frame may be the proof of a quiet moment: the frame that came then has its number, here or in a new file.
      const next = frame.number + 1;
      this.mayFollow = frame.body.length === 0 ? [frame.number, next] : [next];
    }
    return null;
  }

  #apply(record: JournalRecord): string | null {
    if (record.type === 'removed') {
      this.#shards.delete(record.shard);
      this.#lastKnown.delete(record.shard);
      this.#forgetFrom(record.shard, 0);
      return null;
    }
    const shard = this.#shard(record.shard);
    if (record.type === 'entry' || record.type === 'reset') this.#lastKnown.add(record.shard);
    switch (record.type) {
      case 'entry':
        return this.#entry(shard, record);
      case 'state':
        shard.replica = record.replica;
        shard.term = record.term;
        shard.vote = record.vote;
        return null;
      case 'reset':
        shard.entries = [];
        shard.last = record.index;
        shard.commit = record.index;
        this.#forgetFrom(record.shard, 0);
        return null;
      case 'commit':
        if (record.index > shard.commit) shard.commit = record.index;
        return null;
      case 'shard':
        shard.replica = record.replica;
        shard.term = record.term;
        shard.vote = record.vote;
        if (record.commit > shard.commit) shard.commit = record.commit;
        // In the oldest file that is left, a vote or a commit index may stand before it in the same frame.
        if (!this.#lastKnown.has(record.shard)) shard.last = record.last;
        this.#lastKnown.add(record.shard);
        return shard.last === record.last ? null : `ends at ${shard.last}, the file says ${record.last}`;
    }
  }

  result(): ReplayedJournal {
    return {
      type: 'sound',
      shards: this.#shards,
      files: this.#files,
      // The number of a proof is given again: it was not synced and may yet vanish.
      nextFrame: this.mayFollow[0] ?? 1,
      nextFile: this.#lastFile + 1,
      leftover: this.leftover,
    };
  }

  #entry(shard: ReplayedShard, record: JournalRecord & { readonly type: 'entry' }): string | null {
    const { index, term, entryType, data } = record;
    if (index <= shard.last) this.#forgetFrom(record.shard, index);
    const first = shard.entries[0]?.index ?? ((shard.last + 1) as Index);
    if (index < first) shard.entries = [];
    else shard.entries.length = Math.min(shard.entries.length, index - first);
    shard.last = index;
    this.#files[this.#files.length - 1]?.highest.set(record.shard, index);
    if (!this.#keep(record.shard, index)) return null;
    const before = shard.entries[shard.entries.length - 1];
    if (before !== undefined && before.index + 1 !== index) return `entry ${index} after ${before.index}`;
    shard.entries.push({ index, term, type: entryType, data: Uint8Array.prototype.slice.call(data) });
    return null;
  }

  #shard(id: ShardId): ReplayedShard {
    let shard = this.#shards.get(id);
    if (shard === undefined) {
      const none = 0 as Index;
      shard = {
        shard: id,
        replica: 0 as ReplicaId,
        term: 0 as Term,
        vote: 0 as ReplicaId,
        last: none,
        commit: none,
        entries: [],
      };
      this.#shards.set(id, shard);
    }
    return shard;
  }

  /** Entries from `index` on are void: no file is needed for them. */
  #forgetFrom(shard: ShardId, index: number): void {
    for (const { highest } of this.#files) {
      const known = highest.get(shard);
      if (known !== undefined && known >= index) highest.set(shard, (index - 1) as Index);
    }
  }
}
