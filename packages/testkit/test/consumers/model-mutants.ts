/** Mistakes that need a small limit, a lie or a moment that the simulation seldom meets: the partition's random model must notice each of them. */
import type { Edit } from '../mutants/mutants.ts';

const DESK = 'broker/src/partition/subscription';

export const modelMutants: readonly { readonly name: string; readonly edits: readonly Edit[] }[] = [
  {
    name: 'a group that catches up is taken for ordinary one message early',
    edits: [
      {
        file: `${DESK}/record-scan.ts`,
        find: 'if (group.readFrom >= end) group.catchUp = false;',
        replace: 'if (group.readFrom >= end - 1) group.catchUp = false;',
      },
    ],
  },
  {
    name: 'a token is looked up by its counter alone',
    edits: [
      {
        file: `${DESK}/settlements.ts`,
        find: 'if (group === undefined || !valid) return',
        replace: 'void valid; if (group === undefined) return',
      },
    ],
  },
  {
    name: 'what was delivered to a former holder is not given to the one that takes over',
    edits: [
      {
        file: `${DESK}/come-back.ts`,
        find: 'this.#deliverAgain(group, named.lastSequence);\n    }\n    return this.#held',
        replace: '}\n    return this.#held',
      },
    ],
  },
  {
    name: 'what was dropped from the read-ahead is not read again',
    edits: [
      {
        file: `${DESK}/group-desk.ts`,
        find: 'group.readAgainFrom(pool.offset[group.readAhead.first] as number);',
        replace: 'group.catchUp = true;',
      },
    ],
  },
  {
    name: 'a parked group is delivered',
    edits: [
      {
        file: `${DESK}/subscription-rows.ts`,
        find: 'export const FLAGS_BLOCKING: number = FLAG_PARKED | FLAG_PAUSED',
        replace: 'export const FLAGS_BLOCKING: number = FLAG_PAUSED',
      },
    ],
  },
  {
    name: 'failures are forgotten when the leader changes',
    edits: [
      {
        file: `${DESK}/subscription-state.ts`,
        find: 'rows.setFailures(row, reader.varint(), reader.varint());',
        replace: 'reader.varint(); rows.setFailures(row, 0, reader.varint());',
      },
    ],
  },
  {
    name: 'a turn that found more to read does not lead to a reading',
    edits: [{ file: `${DESK}/subscription-desk.ts`, find: ' && !this.#scan.canReadGroups', replace: '' }],
  },
  {
    name: 'a read that was overtaken is taken all the same',
    edits: [
      {
        file: `${DESK}/record-scan.ts`,
        find: 'if (group.readTurn !== readTurn) {',
        replace: 'if (group.readTurn < 0 * readTurn) {',
      },
    ],
  },
  {
    name: 'the floor stays behind a slow holder',
    edits: [
      {
        file: `${DESK}/group-intake.ts`,
        find: 'while (window.end - window.floor > limits.floorDistanceMax) {',
        replace: 'while (window.end < 0 && limits.floorDistanceMax > 0) {',
      },
    ],
  },
  {
    name: 'a group reads by its index past the scan',
    edits: [
      {
        file: `${DESK}/group-desk.ts`,
        find: 'if (!group.empty && (group.next < window.floor || group.readFrom > window.end)) return;',
        replace: 'if (!group.empty && group.next < window.floor) return;',
      },
      {
        file: `${DESK}/group-intake.ts`,
        find: 'this.#cutFrom(run, this.#desk.options.window.end);',
        replace: '',
      },
      {
        file: `${DESK}/record-scan.ts`,
        find: 'offset < desk.options.window.end) {\n        this.#options.count(count);\n        this.#fill',
        replace:
          'offset < desk.options.state.nextOffset) {\n        this.#options.count(count);\n        this.#fill',
      },
    ],
  },
  {
    name: 'settled messages are counted twice',
    edits: [
      {
        file: `${DESK}/group-desk.ts`,
        find: 'progress.done += settled;',
        replace: 'progress.done += settled + (settled > 2 ? 1 : 0);',
      },
    ],
  },
  {
    name: 'a cursor that says nothing is believed by the next leader',
    edits: [{ file: `${DESK}/working-progress.ts`, find: 'this.rows.sweep(applied.floor);', replace: '' }],
  },
  {
    name: 'what a read brings is delivered although the group was paused meanwhile',
    edits: [
      {
        file: `${DESK}/record-scan.ts`,
        find: 'known.readAheadMessages === 0 && !desk.isBlocked(key)',
        replace: 'known.readAheadMessages === 0',
      },
    ],
  },
  {
    name: 'what is stored after a pause goes to the holder',
    edits: [
      {
        file: `${DESK}/group-intake.ts`,
        find: 'if (isFull || group.paused ||',
        replace: 'if (isFull ||',
      },
    ],
  },
  {
    name: "an operator's command counts what is not told",
    edits: [
      {
        file: `${DESK}/group-operator.ts`,
        find: 'progress.flushAll();\n    const { floor, done, lost } = progress.totalsTold;',
        replace: 'const { done, lost } = progress; const { floor } = progress.totalsTold;',
      },
    ],
  },
  {
    name: 'a pause is answered as done while it may still be lost',
    edits: [
      {
        file: `${DESK}/group-operator.ts`,
        find: 'const stored = at < 0 ? 0 : rows.flags(at) & FLAG_PAUSED;',
        replace: 'void at; const stored = before.flags & FLAG_PAUSED;',
      },
    ],
  },
  {
    name: 'a hold from before a rewind goes on after it',
    edits: [
      {
        file: `${DESK}/come-back.ts`,
        find: 'if (rewound || (settled >= 0',
        replace: 'void rewound; if ((settled >= 0',
      },
    ],
  },
  {
    name: "a token serves whoever names it, also one that is another's",
    edits: [
      {
        file: `${DESK}/settlements.ts`,
        find: ' && group?.holder === consumer',
        replace: '',
      },
    ],
  },
];
