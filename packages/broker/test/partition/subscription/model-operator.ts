/** An operator of the model: pauses, resumes, rewinds and resolves groups at any time, and tells the oracle what may follow. */
import { RefusalError } from '@seriatim/protocol';
import type { GroupAction, GroupActionResult, SubscriptionId } from '../../../src/subscription-contracts.ts';
import { message } from '../batches.ts';
import type { Setup } from '../setup.ts';
import type { Oracle } from './model-oracle.ts';

const SUBSCRIPTION = 1 as SubscriptionId;
const ACTOR = { who: 'operator', why: 'model' };
/** No action of the model takes so long. */
const DEADLINE_MILLISECONDS = 1e9;

/** See the head of this file. */
export class ModelOperator {
  readonly #setup: Setup;
  readonly #oracle: Oracle;

  constructor(setup: Setup, oracle: Oracle) {
    this.#setup = setup;
    this.#oracle = oracle;
  }

  /** Does something to a group; `choice` picks what. */
  act(group: string, choice: number): void {
    const last = this.#last(group);
    if (last === 0 || !this.#setup.shard.leads) return;
    const model = this.#oracle.group(group);
    switch (choice % 8) {
      case 0:
        this.#do(group, { type: 'pause', ...ACTOR }, (result) => {
          if (result !== null) model.paused = true;
        });
        return;
      case 1:
      case 2:
        this.resume(group);
        return;
      case 3:
      case 4: {
        const sequence = 1 + (choice % last);
        const done = this.#oracle.rewinds(group, sequence, last);
        this.#do(group, { type: 'rewind', sequence, ...ACTOR }, (result) => done(result !== null));
        return;
      }
      default:
        void this.#resolve(group, choice);
    }
  }

  resume(group: string): void {
    const model = this.#oracle.group(group);
    model.resuming++;
    this.#do(group, { type: 'resume', ...ACTOR }, (result) => {
      model.resuming--;
      if (result !== null) model.paused = false;
    });
  }

  /** Only of a group that is listed as parked: what is resolved is the head that the operator saw. */
  async #resolve(group: string, choice: number): Promise<void> {
    const { partition, clock } = this.#setup;
    const deadline = clock.time + DEADLINE_MILLISECONDS;
    const parked = await partition.administration.parked(SUBSCRIPTION, null, deadline).catch(() => []);
    const headSequence = parked.find((one) => one.group === group)?.headSequence ?? 0;
    if (headSequence === 0) return;
    const head = { headSequence, ...ACTOR };
    switch (choice % 4) {
      case 0: {
        const done = this.#oracle.skips(group, headSequence);
        this.#do(group, { type: 'skip', ...head }, (result) => done(result !== null));
        return;
      }
      case 1: {
        const done = this.#oracle.discards(group);
        this.#do(group, { type: 'discard', ...head }, (result) => {
          done(result === null ? 0 : this.#last(group) - result.waiting);
        });
        return;
      }
      case 2:
        this.#oracle.forgiven(group);
        this.#do(group, { type: 'retry', ...head }, () => {});
        return;
      default: {
        this.#oracle.forgiven(group);
        // Without tag and length.
        const replacement = message(group, ':replaced').subarray(2);
        this.#do(group, { type: 'replace', replacement, ...head }, () => {});
      }
    }
  }

  /** `then` gets null when it was refused, or is known not to be stored. */
  #do(group: string, action: GroupAction, then: (result: GroupActionResult | null) => void): void {
    const { partition, clock } = this.#setup;
    const deadline = clock.time + DEADLINE_MILLISECONDS;
    partition.administration.act(SUBSCRIPTION, group, action, deadline).then(
      (result) => {
        this.#oracle.operated++;
        then(result);
      },
      (error: unknown) => {
        then(null);
        if (!(error instanceof RefusalError))
          this.#oracle.violate(`${action.type} of ${group}: ${String(error)}`);
      },
    );
  }

  #last(group: string): number {
    return this.#setup.partition.group(group)?.lastSequence ?? 0;
  }
}
