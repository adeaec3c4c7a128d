/**
 * Mistakes in dispatch, cursors, tokens and coming back, put in on purpose: the simulation of consumers must notice each of them. More are in model-mutants.ts.
 */
import type { Edit } from '../mutants/mutants.ts';

const DESK = 'broker/src/partition/subscription';
const CLIENT = 'client/src/consumer';

export const consumerMutants: readonly { readonly name: string; readonly edits: readonly Edit[] }[] = [
  {
    name: 'the floor passes messages that are not settled',
    edits: [
      {
        file: `${DESK}/offset-window.ts`,
        find: 'for (let at = offset; at < end; at++) this.#ring[at & mask] = key + 1;',
        replace: 'void key; void mask;',
      },
    ],
  },
  {
    name: 'a group that its holder leaves is not marked as behind',
    edits: [
      {
        file: `${DESK}/group-desk.ts`,
        find: 'this.markBehind(group);\n    this.#releaseReadAhead(group);\n    pool.releaseAll(group.inFlight);',
        replace: 'this.#releaseReadAhead(group);\n    pool.releaseAll(group.inFlight);',
      },
    ],
  },
  {
    name: 'the token epoch does not rise with the term',
    edits: [
      {
        file: `${DESK}/subscription-state.ts`,
        find: 'return this.#epochBase + this.#lastTerm;',
        replace: 'return this.#epochBase + 1;',
      },
    ],
  },
  {
    name: 'two holds get the same counter',
    edits: [
      {
        file: `${DESK}/partition-subscriptions.ts`,
        find: 'nextCounter: () => ++this.#counter,',
        replace: 'nextCounter: () => Math.ceil(++this.#counter / 2),',
      },
    ],
  },
  {
    name: 'a failed message is settled',
    edits: [
      {
        file: `${DESK}/settlements.ts`,
        find: 'this.fail(group, row.reason, delay, row.kind === SETTLE_REJECT);',
        replace:
          'this.#desk.settleTo(group, row.sequence); this.fail(group, row.reason, delay, row.kind === SETTLE_REJECT);',
      },
    ],
  },
  {
    name: 'a settlement is answered before it is committed',
    edits: [
      {
        file: `${DESK}/working-progress.ts`,
        find: 'this.#takeAnswers(flight);\n',
        replace:
          'this.#takeAnswers(flight);\n    for (const { consumer, number, rows } of flight) consumer.answered(number, rows);\n',
      },
    ],
  },
  {
    name: 'a holder that comes back is given again what it has',
    edits: [
      {
        file: `${DESK}/come-back.ts`,
        find: 'group.resumedTo = named.lastSequence;',
        replace: 'group.resumedTo = 0;',
      },
    ],
  },
  {
    name: 'what did not reach a holder before its stream broke is not given to it again',
    edits: [
      {
        file: `${DESK}/come-back.ts`,
        find: 'this.#deliverAgain(group, lastSequence);\n    desk.giveHold',
        replace: 'desk.giveHold',
      },
    ],
  },
  {
    name: 'a run that was read in part is counted from its first message',
    edits: [{ file: `${DESK}/group-intake.ts`, find: 'run.sequence += messages;', replace: '' }],
  },
  {
    name: 'a consumer counts as gone when it only names its holds',
    edits: [
      {
        file: `${CLIENT}/consumer-streams.ts`,
        find: 'for (const hold of named) hold.named = node.stream;',
        replace: 'for (const hold of named) hold.ackTo = hold.last;',
      },
    ],
  },
  {
    name: 'the client does not send again what had no answer',
    edits: [
      {
        file: `${CLIENT}/hold-book.ts`,
        find: 'hold.ackSent = hold.ackedTo;\n    const groups',
        replace: 'hold.ackedTo = hold.ackTo;\n    const groups',
      },
    ],
  },
];
