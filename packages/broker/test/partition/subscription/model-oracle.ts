/** An oracle that watches the consumers of the model: it knows only what they saw, and says what must never be seen. */
import { SETTLE_ACK } from '../../../src/consume-contracts.ts';

export interface Token {
  readonly epoch: number;
  readonly counter: number;
}
const NO_TOKEN: Token = { epoch: 0, counter: 0 };
const NO_FAILURE = { sequence: 0, failures: 0 };

export function isHigher(a: Token, b: Token): boolean {
  return a.epoch === b.epoch ? a.counter > b.counter : a.epoch > b.epoch;
}

/** What the model knows of a group. */
interface GroupModel {
  /** Highest sequence whose settlement was answered as durable, and the highest that was sent and not refused. */
  durable: number;
  sent: number;
  /** Highest sequence ever delivered: deliveries may repeat, but leave nothing out. */
  seen: number;
  given: Token;
  /** The head that failed last, and how often its failures were answered as durable; an operator may have it forgotten. */
  failing: { readonly sequence: number; readonly failures: number };
  /** Times each sequence was delivered. */
  readonly deliveries: number[];
  /** An operator's pause is stored. */
  paused: boolean;
  /** Resumptions under way: from their beginning on it may be delivered. */
  resuming: number;
  /** Where rewinds that are under way go back to. */
  rewinding: number[];
  /** Highest token when the last rewind began: what it settled is open again, also when that is answered later. */
  rewoundAt: Token;
  /** Discards under way: how far they reach is not known yet. */
  discarding: number;
  /** Up to here messages may have been settled without delivery. */
  discarded: number;
  /** How often sequences had been delivered when they were rewound: each comes once more. */
  readonly owed: Map<number, number>;
  /** Highest token when an operator had failures forgotten: those under it do not count, also when they are answered later. */
  forgivenAt: Token;
}

/** See the head of this file. */
export class Oracle {
  readonly violations: string[] = [];
  readonly groups: Map<string, GroupModel> = new Map();
  acked = 0;
  failed = 0;
  resumed = 0;
  repeated = 0;
  rewound = 0;
  operated = 0;

  group(name: string): GroupModel {
    let group = this.groups.get(name);
    if (group === undefined) {
      group = {
        durable: 0,
        sent: 0,
        seen: 0,
        given: NO_TOKEN,
        failing: NO_FAILURE,
        deliveries: [],
        paused: false,
        resuming: 0,
        rewinding: [],
        rewoundAt: NO_TOKEN,
        discarding: 0,
        discarded: 0,
        owed: new Map(),
        forgivenAt: NO_TOKEN,
      };
      this.groups.set(name, group);
    }
    return group;
  }

  delivered(name: string, sequence: number, token: Token, expected: number | null): void {
    const group = this.group(name);
    const at = `${name}${sequence} with ${token.epoch}/${token.counter}`;
    if (this.#isDurable(group, sequence))
      this.violate(`${at} delivered although ${group.durable} is durable`);
    if (group.paused && group.resuming === 0) this.violate(`${at} delivered although its group is paused`);
    if (expected !== null && sequence !== expected) this.violate(`${at} delivered, expected ${expected}`);
    if (expected === null && sequence > group.sent + 1 && group.discarding === 0) {
      this.violate(`${at} delivered although only ${group.sent} was settled`);
    }
    if (expected === null && !isHigher(token, group.given)) {
      this.violate(`${at} given although ${group.given.epoch}/${group.given.counter} was`);
    }
    if (isHigher(group.given, token)) this.violate(`${at} delivered under a token that is not the highest`);
    group.given = token;
    if (sequence <= group.seen) this.repeated++;
    group.seen = Math.max(group.seen, sequence);
    group.deliveries[sequence] = (group.deliveries[sequence] ?? 0) + 1;
  }

  /** A consumer goes on with what it has of the group: `head` is the first message that it has not settled. */
  heldAgain(name: string, head: number): void {
    const group = this.group(name);
    if (this.#isDurable(group, head))
      this.violate(`${name}${head} goes on although ${group.durable} is durable`);
  }

  given(name: string, token: Token): void {
    const group = this.group(name);
    if (!isHigher(token, group.given)) this.violate(`${name} held again with a token that did not rise`);
    group.given = token;
    this.resumed++;
  }

  /** A settlement was answered as durable; `stale`: a higher token was given before it was sent. */
  accepted(name: string, kind: number, sequence: number, token: Token, stale: boolean): void {
    const group = this.group(name);
    const at = `${name}${sequence} with ${token.epoch}/${token.counter}`;
    if (stale) this.violate(`${at} settled under a token that was no longer the highest`);
    if (kind !== SETTLE_ACK) {
      this.failed++;
      if (!isHigher(token, group.forgivenAt)) return;
      const { failing } = group;
      const failures = failing.sequence === sequence ? failing.failures + 1 : 1;
      group.failing = { sequence, failures };
    }
    if (kind === SETTLE_ACK && sequence > group.durable && isHigher(token, group.rewoundAt)) {
      this.acked += sequence - group.durable;
      group.durable = sequence;
    }
  }

  /** The first message of a run says how often it was tried: not fewer times than its failures are durable. */
  attempted(name: string, sequence: number, attempts: number): void {
    const { failing } = this.group(name);
    if (failing.sequence !== sequence || attempts > failing.failures) return;
    this.violate(`${name}${sequence} is attempt ${attempts} after ${failing.failures} failures`);
  }

  /** An operator has the failures of a group forgotten. */
  forgiven(name: string): void {
    const group = this.group(name);
    group.failing = NO_FAILURE;
    group.forgivenAt = group.given;
  }

  /** A rewind begins; returns what is to be told when it is stored, or was not. */
  rewinds(name: string, sequence: number, last: number): (stored: boolean) => void {
    const group = this.group(name);
    const before = group.deliveries.slice();
    group.rewinding.push(sequence);
    group.rewoundAt = group.given;
    this.forgiven(name);
    return (stored) => {
      group.rewinding.splice(group.rewinding.indexOf(sequence), 1);
      if (!stored) return;
      this.rewound++;
      group.durable = Math.min(group.durable, sequence - 1);
      for (let at = sequence; at <= last; at++) group.owed.set(at, before[at] ?? 0);
    };
  }

  /** The head is settled by an operator. */
  skips(name: string, head: number): (stored: boolean) => void {
    const group = this.group(name);
    group.sent = Math.max(group.sent, head);
    this.forgiven(name);
    return (stored) => {
      if (!stored) return;
      group.durable = Math.max(group.durable, head);
      group.owed.delete(head);
    };
  }

  /** Everything stored is settled by an operator; `upTo` says how far that was. */
  discards(name: string): (upTo: number) => void {
    const group = this.group(name);
    group.discarding++;
    this.forgiven(name);
    return (upTo) => {
      group.discarding--;
      if (upTo === 0) return;
      group.sent = Math.max(group.sent, upTo);
      group.seen = Math.max(group.seen, upTo);
      group.durable = Math.max(group.durable, upTo);
      group.discarded = Math.max(group.discarded, upTo);
      group.owed.clear();
    };
  }

  /** In the end every message that was rewound was delivered once more. */
  checkOwed(): void {
    for (const [name, { owed, deliveries }] of this.groups) {
      for (const [sequence, before] of owed) {
        if ((deliveries[sequence] ?? 0) <= before)
          this.violate(`${name}${sequence} did not come again although it was rewound`);
      }
    }
  }

  #isDurable({ durable, rewinding }: GroupModel, sequence: number): boolean {
    return sequence <= durable && rewinding.every((from) => sequence < from);
  }

  violate(what: string): void {
    this.violations.push(what);
  }
}
