/** What an operator does to one group: the resulting row is a command, and the leader's memory follows when it is proposed. */
import type { Clock, Shard } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { GroupAction, GroupActionResult } from '../../subscription-contracts.ts';
import type { RecordSource } from '../record-source.ts';
import {
  isResolution,
  isSeen,
  type Outcome,
  outcomeOf,
  outOfRange,
  type Sight,
  waiting,
} from './group-outcome.ts';
import { look, standingBy } from './group-standing.ts';
import type { Head, HeadReader } from './head-reader.ts';
import { proposed } from './proposed.ts';
import { countUngrouped } from './run-reader.ts';
import { ACTION_NAMES, encodeAction } from './subscription-command.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import { FLAG_PAUSED, FLAGS_FAILED, type Row, SubscriptionRows } from './subscription-rows.ts';

/** How often the group is looked at before an action gives up, because it moves on. */
const LOOKS_MAX = 20;

/** What an operator's command needs. */
export interface GroupOperatorOptions {
  readonly shard: Pick<Shard, 'propose'>;
  readonly clock: Clock;
  readonly source: RecordSource;
  readonly heads: HeadReader;
}

/** See the head of this file. */
export class GroupOperator {
  readonly #options: GroupOperatorOptions;

  constructor(options: GroupOperatorOptions) {
    this.#options = options;
  }

  /** See PartitionAdministration.act. */
  async act(desk: SubscriptionDesk, key: number, action: GroupAction): Promise<GroupActionResult> {
    const target = action.type === 'rewind' ? await this.#target(desk, key, action.sequence) : null;
    const sight: Sight = { target, seen: null, ungrouped: null };
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const before = standingBy(desk, key, sight.seen);
      // Nothing of the outside comes between what is known now and the proposal.
      if (before !== null && isSeen(key, action, before, sight)) {
        return this.#decide(desk, key, action, before, sight);
      }
      await this.#look(desk, key, action, before, sight);
    }
    throw new RefusalError('OVERLOADED', 'the group moves on faster than it can be looked at; try again');
  }

  async #target(desk: SubscriptionDesk, key: number, sequence: number): Promise<Head> {
    const found = await this.#options.heads.read(key, desk.options.state.lowWatermark, sequence);
    if (found === null || found.sequence !== sequence) throw outOfRange(sequence);
    return found;
  }

  async #look(
    desk: SubscriptionDesk,
    key: number,
    action: GroupAction,
    before: Row | null,
    sight: Sight,
  ): Promise<void> {
    const { heads, source } = this.#options;
    const { state } = desk.options;
    if (before === null || (isResolution(action) && sight.seen?.from !== before.next)) {
      sight.seen = await look(desk, key, heads, before?.next ?? desk.window.floor);
      return;
    }
    const from = sight.target?.offset ?? before.next;
    const to = sight.target === null ? state.nextOffset : before.next;
    sight.ungrouped = { from, to, messages: await countUngrouped(state, source, from, to) };
  }

  #decide(
    desk: SubscriptionDesk,
    key: number,
    action: GroupAction,
    before: Row,
    sight: Sight,
  ): Promise<GroupActionResult> {
    if (desk.ended)
      throw new RefusalError('NOT_LEADER', 'leadership was lost, or the subscription reset, meanwhile');
    checkReplacements(desk, action);
    if (isDone(desk, key, action, before)) {
      return Promise.resolve({ settled: 0, waiting: waiting(desk, key, before) });
    }
    const outcome = outcomeOf(desk, key, action, before, sight);
    return this.#propose(desk, key, action, before, outcome).then(() => ({
      settled: outcome.settled,
      waiting: waiting(desk, key, outcome.row),
    }));
  }

  #propose(
    desk: SubscriptionDesk,
    key: number,
    action: GroupAction,
    before: Row,
    outcome: Outcome,
  ): Promise<void> {
    const { progress, options } = desk;
    const { applied } = options;
    progress.flushAll();
    const { floor, done, lost } = progress.totalsTold;
    const totals = { floor, done: done + outcome.settled - outcome.reopened, lost };
    const rows = new SubscriptionRows();
    rows.setRow(rows.add(key), outcome.row);
    const time = this.#options.clock.wallTime();
    // Why the head failed is part of what is written of it: a pause beside it tells its own reason as an action.
    const failed = (outcome.row.flags & FLAGS_FAILED) !== 0;
    const why = action.type === 'pause' ? action.why : '';
    const reason = failed ? (progress.rows.details.get(key)?.reason ?? '') : why;
    if (reason !== '') rows.details.set(key, { reason, time });
    const replacement = action.type === 'replace' ? action.replacement : new Uint8Array(0);
    const command = encodeAction(
      {
        time,
        subscription: applied.id,
        generation: applied.generation,
        action: ACTION_NAMES.indexOf(nameOf(action)),
        headBefore: before.settled + 1,
        who: action.who,
        why: action.why,
        replacement,
      },
      totals,
      rows,
      key,
    );
    const committed = proposed(this.#options.shard, command);
    // Accepted: what this leader remembers follows at once, since later commands lie behind this one.
    if (!failed) progress.explain(key, reason, time);
    desk.takeRow(key, outcome.row, { rewound: action.type === 'rewind', replacement, totals });
    return committed;
  }
}

/** True when a pause or resumption would change nothing of what is stored; one that is under way may still be lost. */
function isDone(desk: SubscriptionDesk, key: number, { type }: GroupAction, before: Row): boolean {
  if (type !== 'pause' && type !== 'resume') return false;
  const { rows } = desk.options.applied;
  const at = rows.find(key);
  const stored = at < 0 ? 0 : rows.flags(at) & FLAG_PAUSED;
  return stored === (before.flags & FLAG_PAUSED) && (stored !== 0) === (type === 'pause');
}

function nameOf(action: GroupAction): (typeof ACTION_NAMES)[number] {
  switch (action.type) {
    case 'retry':
    case 'skip':
    case 'replace':
    case 'discard':
      return `resolve-${action.type}`;
    default:
      return action.type;
  }
}

function checkReplacements(desk: SubscriptionDesk, action: GroupAction): void {
  if (action.type !== 'replace') return;
  let bytes = action.replacement.length;
  for (const kept of desk.progress.rows.replacements.values()) bytes += kept.length;
  const max = desk.options.limits.replacementBytesMax;
  if (bytes <= max) return;
  const message = `replacements of this subscription would take ${bytes} bytes here, the limit is ${max}; settle others first`;
  throw new RefusalError('OVERLOADED', message);
}
