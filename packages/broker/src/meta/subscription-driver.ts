/** Drives the operations on subscriptions where meta leads: one step per partition until every one has answered, then the end. */
import type { Clock, NodeId, ShardId } from '@seriatim/multiraft';
import { RefusalError, SUBSCRIPTION_START_EARLIEST } from '@seriatim/protocol';
import type { LeaderDirectory } from '../contracts.ts';
import type { AdministrationCaller, PositionStep, StartPosition } from '../subscription-contracts.ts';
import type { MetaCommand, MetaResult, SubscriptionOperationRecord } from './model.ts';
import type { MetaState } from './state.ts';

/** Steps under way from this node, of all operations; further ones wait until one is answered. */
const STEPS_MAX = 64;
/** Pause before a step or an end is tried again; doubles with each failure up to the longest. Another leader is asked at once. */
const BACKOFF_MILLISECONDS = 50;
const BACKOFF_MILLISECONDS_MAX = 2_000;
/** A step's or an end's deadline, from when it begins. */
const STEP_MILLISECONDS = 5_000;
/** Of a `drop`, which ignores it. */
const NO_START: StartPosition = { kind: SUBSCRIPTION_START_EARLIEST, offset: 0, time: 0 };

/** What the driver needs of its node. */
export interface SubscriptionDriverOptions {
  readonly clock: Clock;
  readonly state: MetaState;
  readonly leaders: LeaderDirectory;
  readonly caller: AdministrationCaller;
  /** {@link MetaClient.submit}. */
  readonly submit: (command: MetaCommand, deadline: number) => Promise<MetaResult>;
  /** One line for operators. */
  readonly onEvent: (event: string) => void;
}

/** How one thing that is repeated until it succeeds stands. */
interface Attempts {
  underWay: boolean;
  done: boolean;
  pause: number;
  notBefore: number;
  /** Who was asked last. */
  asked: NodeId | undefined;
}

/** What this node did for one operation; a new meta leader begins anew, since each step may be repeated. */
interface Work {
  readonly steps: Map<ShardId, Attempts>;
  readonly end: Attempts;
}

/** See the head of this file. */
export class SubscriptionDriver {
  readonly #options: SubscriptionDriverOptions;
  readonly #works = new Map<number, Work>();
  #underWay = 0;
  #isLookDue = false;
  #cancelTimer: (() => void) | null = null;
  #running = false;

  constructor(options: SubscriptionDriverOptions) {
    this.#options = options;
    options.state.onLeadershipChange(() => this.#wake());
    options.state.onChange(() => this.#wake());
    options.leaders.onChange(() => this.#wake());
  }

  /** Begins; without it the driver never does anything. */
  start(): void {
    this.#running = true;
    this.#wake();
  }

  /** Ends; answers that come later change nothing. */
  stop(): void {
    this.#running = false;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  get #active(): boolean {
    return this.#running && this.#options.state.leadership.confirmed;
  }

  /** After the events at hand: a listener must not start commands in the middle of an apply. */
  #wake(): void {
    if (!this.#active || this.#isLookDue) return;
    this.#isLookDue = true;
    this.#options.clock.soon(() => {
      this.#isLookDue = false;
      if (this.#active) this.#look();
    });
  }

  /** Begins what is due of every operation and has itself woken for what is due later. */
  #look(): void {
    const { clock, state } = this.#options;
    const operations = new Map<number, SubscriptionOperationRecord>();
    for (const operation of state.operations()) {
      if (operation.state === 'running' && 'subscription' in operation)
        operations.set(operation.id, operation);
    }
    for (const id of this.#works.keys()) if (!operations.has(id)) this.#works.delete(id);
    let next = Number.POSITIVE_INFINITY;
    for (const operation of operations.values()) next = Math.min(next, this.#drive(operation));
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (next === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = clock.after(Math.max(0, next - clock.now()), () => this.#wake());
  }

  /** Begins what is due of one operation; answers when something will be due by itself. */
  #drive(operation: SubscriptionOperationRecord): number {
    const topic = this.#options.state.topicById(operation.topic);
    if (topic === undefined) return Number.POSITIVE_INFINITY;
    const work = this.#works.get(operation.id) ?? { steps: new Map(), end: attempts() };
    this.#works.set(operation.id, work);
    let left = 0;
    let next = Number.POSITIVE_INFINITY;
    for (const { shard } of topic.partitions) {
      const step = work.steps.get(shard) ?? attempts();
      work.steps.set(shard, step);
      if (step.done) continue;
      left += 1;
      if (step.underWay) continue;
      if (!this.#isDue(step, this.#options.caller.leader(shard))) next = Math.min(next, step.notBefore);
      else if (this.#underWay < STEPS_MAX) this.#begin(step, shard, () => this.#step(operation, shard));
    }
    if (left > 0 || work.end.underWay || work.end.done) return next;
    if (!this.#isDue(work.end, undefined)) return work.end.notBefore;
    this.#begin(work.end, null, () => this.#end(operation));
    return next;
  }

  #isDue(attempt: Attempts, leader: NodeId | undefined): boolean {
    const isOther = leader !== undefined && leader !== attempt.asked;
    return isOther || attempt.notBefore <= this.#options.clock.now();
  }

  /** A refusal is tried again after a pause; anything else is a bug. */
  #begin(attempt: Attempts, shard: ShardId | null, run: () => Promise<void>): void {
    const { caller, clock, onEvent } = this.#options;
    attempt.underWay = true;
    attempt.asked = shard === null ? undefined : caller.leader(shard);
    this.#underWay += 1;
    const over = (): void => {
      attempt.underWay = false;
      this.#underWay -= 1;
      this.#wake();
    };
    run().then(
      () => {
        attempt.done = true;
        over();
      },
      (error: unknown) => {
        attempt.notBefore = clock.now() + attempt.pause;
        attempt.pause = Math.min(attempt.pause * 2, BACKOFF_MILLISECONDS_MAX);
        over();
        const whom = shard === null ? 'meta' : `shard ${shard}`;
        // A partition may be unable to read from its disk: that may pass, and is no reason to end the node.
        if (!(error instanceof RefusalError))
          onEvent(`operation on a subscription: ${whom}: ${String(error)}`);
        else if (error.code !== 'NO_LEADER')
          onEvent(`operation on a subscription: ${whom}: ${error.code} ${error.message}`);
      },
    );
  }

  async #step(operation: SubscriptionOperationRecord, shard: ShardId): Promise<void> {
    const { caller, clock, state } = this.#options;
    const { id, kind, subscription, generation } = operation;
    const start = state.subscriptionById(subscription)?.start ?? NO_START;
    const step: PositionStep =
      kind === 'deleteSubscription'
        ? { type: 'drop', operation: id, subscription, generation, start: NO_START }
        : { type: 'pin', operation: id, subscription, generation, start };
    await caller.at(shard).positionStep(step, clock.now() + STEP_MILLISECONDS);
  }

  async #end(operation: SubscriptionOperationRecord): Promise<void> {
    const { clock, submit } = this.#options;
    const time = clock.wallTime();
    await submit({ type: 'endOperation', operation: operation.id, time }, clock.now() + STEP_MILLISECONDS);
  }
}

const attempts = (): Attempts => ({
  underWay: false,
  done: false,
  pause: BACKOFF_MILLISECONDS,
  notBefore: 0,
  asked: undefined,
});
