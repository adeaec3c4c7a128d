/** Gives new groups their routes: the groups of many requests and topics travel in one command to the meta leader. */
import type { Clock } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { MetaView, RouteAssigner, TopicId } from '../contracts.ts';
import { groupColumns } from './command-codec.ts';
import { before } from './deadline.ts';
import type { MetaCommand, MetaResult } from './model.ts';

/** What the assigner needs; `submit` is {@link MetaClient.submit}. */
export interface RouteAssignerOptions {
  readonly clock: Clock;
  readonly view: MetaView;
  readonly submit: (command: MetaCommand, deadline: number) => Promise<MetaResult>;
  /** Groups in one command (5,000: about 6 ms to apply). */
  readonly commandGroupsMax?: number;
  /** Bytes of names in one command (512 KiB). */
  readonly commandBytesMax?: number;
  /** Groups that wait; above it a request is refused as OVERLOADED (200,000). */
  readonly waitingGroupsMax?: number;
}

/** Groups that travel together. */
class Gathering {
  readonly topics: Map<TopicId, Uint8Array[]> = new Map();
  readonly settled: Promise<void>;
  groups = 0;
  bytes = 0;
  deadline = 0;
  /** Ends the wait of all callers; with an error when the command failed. */
  settle: (error: Error | null) => void = () => {};

  constructor() {
    this.settled = new Promise((resolve, reject) => {
      this.settle = (error) => (error === null ? resolve() : reject(error));
    });
    // Callers that gave up at their own deadline leave nobody to hear of a failure.
    this.settled.catch(() => {});
  }
}

/** The {@link RouteAssigner}: at most one command is in flight; what comes meanwhile is gathered for the next. */
export class GatheringRouteAssigner implements RouteAssigner {
  readonly #options: RouteAssignerOptions;
  readonly #groupsMax: number;
  readonly #bytesMax: number;
  readonly #waitingMax: number;
  /** Which gathering a group travels in, by topic and name. */
  readonly #travelling = new Map<TopicId, Map<string, Gathering>>();
  readonly #queue: Gathering[] = [];
  #waiting = 0;
  #flushing = false;

  constructor(options: RouteAssignerOptions) {
    this.#options = options;
    this.#groupsMax = options.commandGroupsMax ?? 5_000;
    this.#bytesMax = options.commandBytesMax ?? 512 * 1024;
    this.#waitingMax = options.waitingGroupsMax ?? 200_000;
  }

  /** {@inheritDoc RouteAssigner.assign} */
  async assign(topic: TopicId, groups: readonly Uint8Array[], deadline: number): Promise<void> {
    const { clock, view } = this.#options;
    const gatherings = this.#gather(topic, groups, deadline);
    for (const gathering of gatherings) {
      await before(clock, deadline, gathering.settled, () => {
        return new RefusalError('DEADLINE', 'new message groups got no route in time; nothing was stored');
      });
    }
    for (const name of groups) {
      if (view.findRoute(topic, name, 0, name.length) >= 0) continue;
      if (view.topicById(topic) === undefined)
        throw new RefusalError('UNKNOWN_TOPIC', 'the topic was deleted');
      throw new RefusalError(
        'OVERLOADED',
        `the topic has ${view.routeCount(topic)} message groups, its limit; new ones are refused until others expire`,
      );
    }
  }

  /** Puts the groups that have no route into gatherings; answers those they travel in. */
  #gather(topic: TopicId, groups: readonly Uint8Array[], deadline: number): Set<Gathering> {
    const gatherings = new Set<Gathering>();
    try {
      for (const name of groups) {
        if (this.#options.view.findRoute(topic, name, 0, name.length) >= 0) continue;
        const gathering = this.#join(topic, name);
        gathering.deadline = Math.max(gathering.deadline, deadline);
        gatherings.add(gathering);
      }
    } finally {
      // Also when a later group was refused: others may already wait for the earlier ones.
      if (!this.#flushing && this.#queue.length > 0) {
        this.#flushing = true;
        this.#options.clock.soon(() => void this.#flush());
      }
    }
    return gatherings;
  }

  #join(topic: TopicId, name: Uint8Array): Gathering {
    const key = keyOf(name);
    const known = this.#travelling.get(topic)?.get(key);
    if (known !== undefined) return known;
    const gathering = this.#openGathering(name.length);
    const travelling = this.#travelling.get(topic) ?? new Map<string, Gathering>();
    this.#travelling.set(topic, travelling);
    travelling.set(key, gathering);
    const names = gathering.topics.get(topic);
    if (names === undefined) gathering.topics.set(topic, [name]);
    else names.push(name);
    gathering.groups += 1;
    gathering.bytes += name.length;
    this.#waiting += 1;
    return gathering;
  }

  /** The gathering that takes the next group: the last one not yet sent, or a new one when it is full. */
  #openGathering(bytes: number): Gathering {
    if (this.#waiting >= this.#waitingMax) {
      throw new RefusalError(
        'OVERLOADED',
        `${this.#waiting} new message groups wait for a route, the limit is ${this.#waitingMax}; try again later`,
      );
    }
    const last = this.#queue.at(-1);
    if (last !== undefined && last.groups < this.#groupsMax && last.bytes + bytes <= this.#bytesMax)
      return last;
    const gathering = new Gathering();
    this.#queue.push(gathering);
    return gathering;
  }

  async #flush(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.#send(next);
    }
    this.#flushing = false;
  }

  async #send(gathering: Gathering): Promise<void> {
    const topics = [...gathering.topics].map(([topic, names]) => groupColumns(topic, names));
    let failure: Error | null = null;
    try {
      await this.#options.submit({ type: 'assignRoutes', topics }, gathering.deadline);
    } catch (error) {
      failure = notStored(error);
    }
    this.#forget(gathering);
    gathering.settle(failure);
  }

  #forget(gathering: Gathering): void {
    this.#waiting -= gathering.groups;
    for (const [topic, names] of gathering.topics) {
      const travelling = this.#travelling.get(topic);
      for (const name of names) travelling?.delete(keyOf(name));
      if (travelling?.size === 0) this.#travelling.delete(topic);
    }
  }
}

/** A map key with one character a byte, so that different names stay different whatever their encoding. */
function keyOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
}

/** Whatever became of the routes, no message was stored: a route that exists already is simply used next time. */
function notStored(error: unknown): Error {
  if (!(error instanceof RefusalError)) return error instanceof Error ? error : new Error(String(error));
  return new RefusalError(error.code === 'NOT_COMMITTED' ? 'NO_META_LEADER' : error.code, error.message, {
    cause: error,
  });
}
