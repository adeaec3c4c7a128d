/**
 * Mistakes that production cores made, put back in on purpose: the simulation must notice each of them.
 * Four more (figure 8, a commit index beyond what an append verified, an image never sent again, a transfer never given up) are caught by
 * the core's own tests (packages/raft/test/mistakes.test.ts) and seldom met by sixty random seeds.
 * A mutant is an exact replacement of source text, so that one whose text is gone fails loudly instead of testing nothing.
 */

/** One place of a mistake; `file` is below `packages/`. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  /** Number in the list of mistakes in packages/raft/test/mistakes.test.ts. */
  readonly mistake: number;
  readonly edits: readonly Edit[];
}

const RAFT = 'raft/src';

export const mutants: readonly Mutant[] = [
  {
    name: 'an append is confirmed before it is durable',
    mistake: 1,
    edits: [
      {
        file: `${RAFT}/follower.ts`,
        find: "core.sendAfterWrite({\n    type: 'appendResponse',",
        replace: "core.send({\n    type: 'appendResponse',",
      },
    ],
  },
  {
    name: 'an entry is applied before it is durable here',
    mistake: 12,
    edits: [
      {
        file: `${RAFT}/ready.ts`,
        find: 'return lower(this.#core.log.commit, this.#core.log.durable);',
        replace: 'return this.#core.log.commit;',
      },
    ],
  },
  {
    name: 'the journal does not sync',
    mistake: 1,
    edits: [{ file: 'storage/src/journal.ts', find: 'await file.handle.sync();', replace: '' }],
  },
  {
    name: 'the vote is forgotten at a restart',
    mistake: 1,
    edits: [
      {
        file: 'storage/src/open-node-store.ts',
        find: 'vote: found.vote };',
        replace: 'vote: 0 as typeof found.vote };',
      },
    ],
  },
  {
    name: 'an old append truncates where entries match',
    mistake: 3,
    edits: [
      {
        file: `${RAFT}/follower.ts`,
        find: 'if (log.term(entry.index) === entry.term) {',
        replace: 'if (log.term(entry.index) === entry.term && entry.index === log.last) {',
      },
    ],
  },
  {
    name: 'stepping down within a term clears the vote',
    mistake: 4,
    edits: [
      { file: `${RAFT}/roles.ts`, find: 'if (term > core.term) {', replace: 'if (term >= core.term) {' },
    ],
  },
  {
    name: 'writes that were overwritten meanwhile make their successors durable',
    mistake: 5,
    edits: [
      {
        file: `${RAFT}/writes.ts`,
        find: 'write.durable = lower(write.durable, last);',
        replace: 'write.durable = write.durable + 0 * last as typeof last;',
      },
    ],
  },
  {
    name: 'one replica less than a majority is a quorum',
    mistake: 6,
    edits: [
      {
        file: `${RAFT}/quorum.ts`,
        find: 'return values[voters.length >> 1] ?? 0;',
        replace: 'return values[Math.max(0, (voters.length >> 1) - 1)] ?? 0;',
      },
    ],
  },
  {
    name: 'logs are compared by index, whatever their last terms',
    mistake: 6,
    edits: [
      {
        file: `${RAFT}/log.ts`,
        find: 'return term > this.lastTerm || (term === this.lastTerm && index >= this.last);',
        replace: 'return term > 0 - 1 && index >= this.last;',
      },
    ],
  },
  {
    name: 'a joint configuration decides by its new half alone',
    mistake: 7,
    edits: [
      {
        file: `${RAFT}/quorum.ts`,
        find: 'majorityValue(configuration.outgoing, reached),\n  );',
        replace: 'Number.POSITIVE_INFINITY,\n  );',
      },
    ],
  },
  {
    name: 'a read does not wait for the no-op of its term',
    mistake: 9,
    edits: [
      {
        file: `${RAFT}/read-index.ts`,
        find: 'index: higher(core.log.commit, leading.noop) });',
        replace: 'index: higher(core.log.commit, core.log.commit) });',
      },
    ],
  },
  {
    name: 'a read is not confirmed by a quorum',
    mistake: 9,
    edits: [
      {
        file: `${RAFT}/read-index.ts`,
        find: 'if (read.round > leading.confirmedRound || read.index > core.log.commit) {',
        replace: 'if (read.index > core.log.commit) {',
      },
    ],
  },
  {
    name: 'a lost journal entry is taken for the end of the log',
    mistake: 10,
    edits: [
      {
        file: 'storage/src/journal-scan.ts',
        find: 'if (body === null) {',
        replace: 'if (body === null || (frames.length > 2 && header.number % 16 === 0)) {',
      },
    ],
  },
  {
    name: 'a proposal that another leader replaced is told to be applied',
    mistake: 13,
    edits: [
      {
        file: 'multiraft/src/proposals.ts',
        find: 'const same = head.term === entry.term && head.index === entry.index;',
        replace: 'const same = head.term > 0;',
      },
    ],
  },
  {
    name: 'a heartbeat that overtook the append moves the commit index',
    mistake: 15,
    edits: [
      {
        file: `${RAFT}/follower.ts`,
        find: 'commitTo(core, lower(message.commit, core.verified));',
        replace: 'commitTo(core, lower(message.commit, core.log.last));',
      },
      {
        file: `${RAFT}/read-index.ts`,
        find: 'const commit = tellableCommit(core, progress);',
        replace: 'const commit = tellableCommit === undefined ? core.log.commit : core.log.commit;',
      },
    ],
  },
  {
    name: 'an image travels without the records below it',
    mistake: 8,
    edits: [
      {
        file: 'multiraft/src/image-sender.ts',
        find: "for await (const bytes of records) yield { type: 'records', bytes };",
        replace: 'void records;',
      },
    ],
  },
  {
    name: 'records that came with an image are forgotten at a restart',
    mistake: 8,
    edits: [
      {
        file: 'storage/src/incoming-records.ts',
        find: 'found.base > 0 && found.base <= image',
        replace: 'found.base > image + 1e9',
      },
    ],
  },
];
