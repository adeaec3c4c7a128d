/** Gives ready groups to consumers with credit, by turns, and those who hold a group what else there is of it. */
import type { ActiveGroup } from './active-group.ts';
import type { ConsumerAttachment } from './consumer-attachment.ts';
import { DeliveryBuilder } from './delivery-builder.ts';
import type { GroupDesk } from './group-desk.ts';

/** See the head of this file. */
export class Turns {
  readonly #desk: GroupDesk;
  readonly #builder = new DeliveryBuilder();
  #first = 0;

  constructor(desk: GroupDesk) {
    this.#desk = desk;
  }

  /** One delivery to each consumer with credit, where there is something for it; ready groups are shared evenly. False: nothing was delivered. */
  round(consumers: readonly ConsumerAttachment[]): boolean {
    let willing = 0;
    for (const consumer of consumers) if (consumer.hasCredit) willing++;
    if (willing === 0) return false;
    const share = Math.ceil(this.#desk.ready.length / willing);
    const first = this.#first++;
    let delivered = false;
    for (let at = 0; at < consumers.length; at++) {
      const consumer = consumers[(first + at) % consumers.length];
      if (consumer?.hasCredit === true && this.#deliver(consumer, share)) delivered = true;
    }
    return delivered;
  }

  #deliver(consumer: ConsumerAttachment, share: number): boolean {
    const { sink, more } = consumer;
    const { active, ready, options } = this.#desk;
    const builder = this.#builder;
    builder.begin(sink.creditMessages, Math.min(sink.creditBytes, options.limits.deliveryBytesMax));
    for (let left = more.length; left > 0 && !builder.full; left--) {
      const group = active.get(more.shift());
      if (group === undefined || group.holder !== consumer || !group.queued) continue;
      group.queued = false;
      if (group.readAheadMessages > 0) this.#take(group);
      else this.#desk.readOn(group);
    }
    for (let given = 0; given < share && !builder.full; ) {
      const key = ready.shift();
      if (key < 0) break;
      const group = active.get(key);
      if (group === undefined || group.counter !== 0 || !group.queued) continue;
      group.queued = false;
      this.#desk.giveHold(group, consumer);
      this.#take(group);
      given++;
    }
    if (builder.empty) return false;
    sink.deliver(builder.finish(options.tokenEpoch, options.settings().holdMilliseconds));
    return true;
  }

  /** Moves what fits from the group's read-ahead to its flight. */
  #take(group: ActiveGroup): void {
    const { pool, limits } = this.#desk.options;
    const builder = this.#builder;
    while (group.readAheadMessages > 0 && !builder.full) {
      const room = limits.groupInFlightMax - group.inFlightMessages;
      if (room <= 0) break;
      const head = group.readAhead.first;
      const fitting = builder.fitting(pool, head, room);
      if (fitting < (pool.count[head] as number)) pool.split(group.readAhead, fitting);
      const run = pool.shift(group.readAhead);
      pool.append(group.inFlight, run);
      const sequence = pool.sequence[run] as number;
      builder.add(pool, run, group.life, this.#attempts(group, sequence), group.counter);
      this.#desk.readAheadBytes -= (pool.end[run] as number) - (pool.start[run] as number);
      pool.forgetBytes(run);
      group.readAheadMessages -= fitting;
      group.inFlightMessages += fitting;
      group.lastInFlight = sequence + fitting - 1;
      group.lastSequence = group.lastInFlight;
    }
    this.#desk.offer(group);
    this.#desk.readOn(group);
  }

  #attempts(group: ActiveGroup, sequence: number): number {
    if (sequence !== group.settled + 1 && group.key !== 0) return 1;
    const { rows } = this.#desk.options.progress;
    if (group.inFlightMessages > 0 || rows.count === 0) return 1;
    const row = rows.find(group.key);
    return row < 0 ? 1 : 1 + rows.failures(row);
  }
}
