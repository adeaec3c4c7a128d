/**
 * Mistakes in sessions, epochs and retries, put in on purpose: the simulation of producers must notice each of them. Four more need a moment that
 * rounds seldom meet (a duplicate answered before its original is committed, a fence that holds only once it is applied, a position told before
 * that, a group without a route taken for new); the tests of partition-leader.ts, writer-opener.ts and open-writer.ts catch them.
 */
import type { Edit } from '../mutants/mutants.ts';

const PARTITION = 'broker/src/partition';
const CLIENT = 'client/src';

export const producerMutants: readonly { readonly name: string; readonly edits: readonly Edit[] }[] = [
  {
    name: 'a retry is stored again instead of being answered with its receipt',
    edits: [
      {
        file: `${PARTITION}/run-judge.ts`,
        find: 'if (same) return VERDICT_DUPLICATE;',
        replace: 'if (same) return VERDICT_TAKE;',
      },
    ],
  },
  {
    name: 'writers are missing in the image',
    edits: [
      {
        file: `${PARTITION}/group-records.ts`,
        find: 'for (const [group, writers] of this.#writers) copy.#writers.set(group, writers.copy());',
        replace: '',
      },
    ],
  },
  {
    name: 'older epochs are not fenced',
    edits: [
      {
        file: `${PARTITION}/run-judge.ts`,
        find: 'if (batch.producerEpoch < fence) return this.#fenced(batch, fence);',
        replace: '',
      },
      {
        file: `${PARTITION}/partition-state.ts`,
        find: 'if (fence > 0 && (header.epoch[run] as number) < fence) {',
        replace: 'if (fence < 0) {',
      },
    ],
  },
  {
    name: 'fences are missing in the image',
    edits: [
      {
        file: `${PARTITION}/partition-state.ts`,
        find: 'this.fences = fences;',
        replace: 'this.fences = new WriterFences();',
      },
    ],
  },
  {
    name: 'an opening fences whoever is the newest when it arrives',
    edits: [
      {
        file: 'broker/src/meta/writer-commands.ts',
        find: 'if ((known?.epoch ?? 0) !== previousEpoch) return answer(known ?? { producerId: 0, epoch: 0 }, false);',
        replace: '',
      },
      {
        file: 'broker/src/meta/writer-commands.ts',
        find: 'epoch: previousEpoch + 1, instance };',
        replace: 'epoch: (known?.epoch ?? 0) + 1, instance };',
      },
    ],
  },
  {
    name: 'a repeated opening takes another epoch',
    edits: [
      {
        file: 'broker/src/meta/writer-commands.ts',
        find: 'if (known?.instance === instance) return answer(known, true);',
        replace: '',
      },
      {
        file: `${CLIENT}/identity-source.ts`,
        find: 'this.#newestEpoch = epoch;',
        replace:
          'if (this.#newestEpoch > 0 || epoch > 1) throw new Error("opened by itself"); this.#newestEpoch = epoch;',
      },
    ],
  },
  {
    name: 'two writers that expect the same sequence are both stored',
    edits: [
      {
        file: `${PARTITION}/run-judge.ts`,
        find: 'if (expected === 0 || expected === next) return VERDICT_TAKE;',
        replace: 'if (expected <= next) return VERDICT_TAKE;',
      },
    ],
  },
  {
    name: 'an expected sequence is asked before the run is known as a duplicate',
    edits: [
      {
        file: `${PARTITION}/run-judge.ts`,
        find: 'return verdict === VERDICT_TAKE ? this.#judgeExpectation(batch, run) : verdict;\n  }\n\n  #judgeNew',
        replace:
          'return verdict === VERDICT_REFUSE ? verdict : this.#judgeExpectation(batch, run);\n  }\n\n  #judgeNew',
      },
    ],
  },
  {
    name: 'the client sends an unknown run under a new number',
    edits: [
      {
        file: `${CLIENT}/dispatcher.ts`,
        find: 'run.bytes ??= copyOf(request.bytes, run);\n      topic.queue(lane.partition).failed(refusal);',
        replace:
          'returnRun(run); lane.renewed = false; lane.identity = run.identity; lane.spoiledIdentity = null;\n      topic.queue(lane.partition).failed(refusal);',
      },
    ],
  },
  {
    name: 'the client puts what waits into a run that is sent again',
    edits: [
      {
        file: `${CLIENT}/request-builder.ts`,
        find: 'const run = lane.run ?? this.#newRun(lane);',
        replace:
          'if (lane.run !== null && lane.first !== null && lane.run.bytes !== null) { const old = lane.run; lane.nextSequence = old.firstSequence; lane.putFirst(old.first); lane.run = null; }\n    const run = lane.run ?? this.#newRun(lane);',
      },
    ],
  },
  {
    name: 'the client takes a new identity after an attempt with unknown outcome',
    edits: [
      {
        file: `${CLIENT}/run-verdict.ts`,
        find: "return run.unknown || run.lane.renewed ? 'fail' : 'renew';",
        replace: "return 'renew';",
      },
      {
        file: `${PARTITION}/run-judge.ts`,
        find: 'if (same) return VERDICT_DUPLICATE;',
        replace: '',
      },
    ],
  },
  {
    name: 'a refused proposal is told to be stored',
    edits: [
      {
        file: `${PARTITION}/partition-leader.ts`,
        find: "fate.type === 'applied'\n        ? OUTCOME_CONFIRMED\n        : fate.type",
        replace: "fate.type !== 'unknown'\n        ? OUTCOME_CONFIRMED\n        : fate.type",
      },
    ],
  },
];
