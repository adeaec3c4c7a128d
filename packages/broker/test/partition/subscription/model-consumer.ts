/** A consumer as the client library is one: comes back with what it holds, sends unanswered settlements again, and lies about tokens when told to. */
import type { ErrorCode } from '@seriatim/protocol';
import {
  type Attachment,
  type ConsumerEvent,
  type ConsumerSink,
  type Delivery,
  type ResumedHold,
  SETTLE_ACK,
  SETTLE_NACK,
  SETTLE_REJECT,
} from '../../../src/consume-contracts.ts';
import type { Partition } from '../../../src/contracts.ts';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import { contents } from '../batches.ts';
import { isHigher, type Oracle, type Token } from './model-oracle.ts';

interface Open {
  readonly sequence: number;
  readonly offset: number;
  readonly attempt: number;
}

interface Held {
  readonly group: string;
  life: number;
  token: Token;
  /** Delivered and not settled by this consumer, and the last it has. */
  open: Open[];
  last: number;
  /** Last sequence whose acknowledgement was answered under this hold. */
  durable: number;
  /** Named when it came back, and not answered: its token is the old one. */
  named: boolean;
  /** Held again, and nothing was delivered since. */
  resumed: boolean;
}

interface Sent {
  readonly number: number;
  readonly kind: number;
  readonly group: string;
  readonly sequence: number;
  readonly token: Token;
  readonly stale: boolean;
}

export class ModelConsumer {
  creditMessages = 0;
  creditBytes = 0;
  writable = true;
  readonly oracle: Oracle;
  readonly session: string;
  attachment: Attachment | null = null;
  attaching = false;
  readonly held: Map<string, Held> = new Map();
  /** Tokens it once had, to lie with. */
  readonly old: { group: string; token: Token; sequence: number }[] = [];
  #sent: Sent[] = [];
  /** Settlements whose outcome is not known: sent again when the group is held again. */
  #again: Sent[] = [];
  #row = 0;
  #stream: ConsumerSink | null = null;
  #answered = 0;

  constructor(oracle: Oracle, session: string) {
    this.oracle = oracle;
    this.session = session;
  }

  /** Attaches, naming what it holds unless it `forgets`. */
  async attach(partition: Partition, forgets = false): Promise<void> {
    if (this.attachment !== null || this.attaching) return;
    this.attaching = true;
    if (forgets) this.#forgetAll();
    const stream = this.#open();
    try {
      const attachment = await partition.dispatch.attach(
        { subscription: 1 as SubscriptionId, consumer: this.session, session: this.session },
        stream,
        this.#holds(),
        () => {
          if (this.#stream === stream) this.#cutOff();
        },
      );
      if (this.#stream === stream) this.attachment = attachment;
      else void attachment.detach('broken');
    } catch {
      // Not the leader, or not ready: it tries again later.
    } finally {
      this.attaching = false;
    }
  }

  /** A stream of its own for each attachment: what comes on an older one is not heard any more. */
  #open(): ConsumerSink {
    const consumer = this; // For the getters.
    const stream: ConsumerSink = {
      get creditMessages() {
        return consumer.#stream === stream ? consumer.creditMessages : 0;
      },
      get creditBytes() {
        return consumer.creditBytes;
      },
      get writable() {
        return consumer.writable;
      },
      deliver: (delivery) => this.#stream === stream && this.deliver(delivery),
      settled: (row, refused, codes) => this.#stream === stream && this.settled(row, refused, codes),
      event: (event) => this.#stream === stream && this.event(event),
    };
    this.#stream = stream;
    return stream;
  }

  detach(how: 'clean' | 'broken'): void {
    const { attachment } = this;
    this.#cutOff();
    if (how === 'clean') this.#forgetAll();
    void attachment?.detach(how);
  }

  /** The leader's process died: nothing is told. */
  cutOff(): void {
    this.#cutOff();
  }

  grant(messages: number, bytes: number): void {
    this.creditMessages += messages;
    this.creditBytes += bytes;
    this.attachment?.creditGranted();
  }

  deliver(delivery: Delivery): void {
    this.creditMessages -= delivery.messages;
    this.creditBytes -= delivery.bodyBytes;
    const found = contents(delivery.body);
    if (found.length !== delivery.messages) this.oracle.violate('a delivery does not add up');
    delivery.runLengths.forEach((length, run) => {
      const token = { epoch: delivery.tokenEpoch, counter: delivery.runTokenCounters[run] ?? 0 };
      for (let at = 0; at < length; at++) {
        const name = (found.shift() ?? '').split(':')[0] ?? '';
        const sequence = (delivery.runSequences[run] ?? 0) + at;
        const offset = (delivery.runOffsets[run] ?? 0) + at;
        const attempt = at === 0 ? (delivery.runAttempts[run] ?? 0) : 1;
        if (at === 0) this.oracle.attempted(name, sequence, attempt);
        this.#take(name, { sequence, offset, attempt }, delivery.runLives[run] ?? 0, token);
      }
    });
  }

  settled(row: number, refused: readonly number[], codes: readonly ErrorCode[]): void {
    if (row < this.#answered) this.oracle.violate(`answers went back from ${this.#answered} to ${row}`);
    this.#answered = row;
    const refusals = new Map(refused.map((number, at) => [number, codes[at]]));
    const open: Sent[] = [];
    for (const sent of this.#sent) {
      if (refusals.has(sent.number)) continue;
      if (sent.number > row) open.push(sent);
      else this.#accepted(sent);
    }
    this.#sent = open;
  }

  event(event: ConsumerEvent): void {
    switch (event.type) {
      case 'leadership-ended':
        this.#cutOff();
        return;
      case 'held':
        this.#heldAgain(event.group, { epoch: event.tokenEpoch, counter: event.tokenCounter });
        return;
      case 'hold-lost':
        if (this.held.get(event.group)?.token.counter === event.tokenCounter) this.held.delete(event.group);
        return;
      case 'fell-behind':
        return;
    }
  }

  /** Settles some of what it has: `choice` picks the group and how far. */
  settle(choice: number, kind: number = SETTLE_ACK): void {
    const holding = [...this.held.values()].filter(({ open, named }) => open.length > 0 && !named);
    const held = holding[choice % Math.max(1, holding.length)];
    if (held === undefined || this.attachment === null) return;
    const place = kind === SETTLE_ACK ? choice % held.open.length : 0;
    const { sequence } = held.open[place] as Open;
    this.#send(kind, held, sequence, choice);
    held.open = kind === SETTLE_ACK ? held.open.slice(place + 1) : [];
    this.old.push({ group: held.group, token: held.token, sequence: held.last });
    if (this.old.length > 20) this.old.shift();
    if (kind !== SETTLE_ACK) this.held.delete(held.group);
  }

  settleAll(): void {
    for (const held of this.held.values()) {
      const last = held.open.at(-1);
      if (last === undefined || held.named) continue;
      this.#send(SETTLE_ACK, held, last.sequence, 0);
      held.open = [];
    }
  }

  /** Settles with a token it no longer has, or that another one has, or nobody had. */
  lie(choice: number): void {
    const old = this.old[choice % Math.max(1, this.old.length)];
    if (old === undefined || this.attachment === null) return;
    const { group } = old;
    const { given, seen } = this.oracle.group(group);
    const lies = [
      old,
      { group, token: given, sequence: seen },
      { group, token: { epoch: given.epoch - 1, counter: given.counter }, sequence: seen },
    ];
    const lie = lies[choice % lies.length] ?? old;
    const current = this.held.get(group);
    if (current?.token.counter === lie.token.counter && current.token.epoch === lie.token.epoch) return;
    const held = { ...lie, life: 1, open: [], last: 0, durable: 0, named: false, resumed: false };
    this.#send(choice % 2 === 0 ? SETTLE_NACK : SETTLE_ACK, held, lie.sequence, 0, true);
  }

  #accepted({ group, kind, sequence, token, stale }: Sent): void {
    this.oracle.accepted(group, kind, sequence, token, stale);
    const held = this.held.get(group);
    const same = held?.token.epoch === token.epoch && held.token.counter === token.counter;
    if (same && kind === SETTLE_ACK) held.durable = Math.max(held.durable, sequence);
  }

  #take(name: string, message: Open, life: number, token: Token): void {
    const known = this.held.get(name);
    const { sequence } = message;
    const same =
      known !== undefined && known.token.epoch === token.epoch && known.token.counter === token.counter;
    const expected = same ? this.#expected(known, sequence) : null;
    this.oracle.delivered(name, sequence, token, expected);
    if (same) {
      known.open.push(message);
      known.last = sequence;
    } else {
      this.held.set(name, {
        group: name,
        life,
        token,
        open: [message],
        last: sequence,
        durable: 0,
        named: false,
        resumed: false,
      });
    }
  }

  /** Right after it came back with a hold of which it had settled everything, another holder may have settled more than it has. */
  #expected(known: Held, sequence: number): number {
    const { resumed, last, open } = known;
    known.resumed = false;
    return resumed &&
      open.length === 0 &&
      sequence > last &&
      sequence - 1 <= this.oracle.group(known.group).sent
      ? sequence
      : last + 1;
  }

  #heldAgain(name: string, token: Token): void {
    this.oracle.given(name, token);
    const held = this.held.get(name);
    if (held === undefined) {
      this.oracle.violate(`${name} is held again although it was not named`);
      return;
    }
    this.oracle.heldAgain(name, held.open[0]?.sequence ?? Number.POSITIVE_INFINITY);
    held.token = token;
    held.named = false;
    held.resumed = true;
    const again = this.#again.filter(({ group }) => group === name);
    this.#again = this.#again.filter(({ group }) => group !== name);
    for (const sent of again) if (sent.kind === SETTLE_ACK) this.#send(SETTLE_ACK, held, sent.sequence, 0);
  }

  #send(kind: number, held: Held, sequence: number, choice: number, lies = false): void {
    const { token, group } = held;
    const model = this.oracle.group(group);
    const stale = lies || isHigher(model.given, token);
    const number = ++this.#row;
    if (kind === SETTLE_ACK && !stale) model.sent = Math.max(model.sent, sequence);
    this.#sent.push({ number, kind, group, sequence, token, stale });
    this.attachment?.settle({
      rows: 1,
      numbers: [number],
      kinds: [kind],
      tokenEpochs: [token.epoch],
      tokenCounters: [token.counter],
      sequences: [sequence],
      milliseconds: [choice % 2 === 0 ? 0 : 50],
      reasons: kind === SETTLE_NACK || kind === SETTLE_REJECT ? ['random'] : [],
    });
  }

  #holds(): ResumedHold[] {
    for (const held of this.held.values()) held.named = true;
    return [...this.held.values()].map(({ group, life, token, last, open, durable }) => ({
      group,
      life,
      tokenEpoch: token.epoch,
      tokenCounter: token.counter,
      lastSequence: last,
      headOffset: open[0]?.offset ?? -1,
      headAttempt: open[0]?.attempt ?? 0,
      settledSequence: durable,
    }));
  }

  #forgetAll(): void {
    this.held.clear();
    this.#again = [];
  }

  #cutOff(): void {
    this.#stream = null;
    this.attachment = null;
    this.creditMessages = 0;
    this.creditBytes = 0;
    this.#again.push(...this.#sent);
    this.#sent = [];
    this.#row = 0;
    this.#answered = 0;
  }
}
