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
}

/** See the head of this file. */
export class Oracle {
  readonly violations: string[] = [];
  readonly groups: Map<string, GroupModel> = new Map();
  acked = 0;
  failed = 0;
  resumed = 0;
  repeated = 0;

  group(name: string): GroupModel {
    let group = this.groups.get(name);
    if (group === undefined) {
      group = { durable: 0, sent: 0, seen: 0, given: NO_TOKEN, failing: NO_FAILURE, deliveries: [] };
      this.groups.set(name, group);
    }
    return group;
  }

  delivered(name: string, sequence: number, token: Token, expected: number | null): void {
    const group = this.group(name);
    const at = `${name}${sequence} with ${token.epoch}/${token.counter}`;
    if (sequence <= group.durable) this.violate(`${at} delivered although ${group.durable} is durable`);
    if (expected !== null && sequence !== expected) this.violate(`${at} delivered, expected ${expected}`);
    if (expected === null && sequence > group.sent + 1) {
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
    const { durable } = this.group(name);
    if (head <= durable) this.violate(`${name}${head} goes on although ${durable} is durable`);
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
      const { failing } = group;
      const failures = failing.sequence === sequence ? failing.failures + 1 : 1;
      group.failing = { sequence, failures };
    }
    if (kind === SETTLE_ACK && sequence > group.durable) {
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
    this.group(name).failing = NO_FAILURE;
  }

  violate(what: string): void {
    this.violations.push(what);
  }
}
