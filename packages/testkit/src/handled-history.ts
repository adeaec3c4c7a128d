/** What consumers of one subscription did, held against what is stored: order, loss, repetition, and who may settle. */

/** One thing that a consumer did or was told. */
export interface HandledEntry {
  /** Milliseconds on a clock that all consumers share. */
  readonly at: number;
  /** `durable`: the broker answered an acknowledgement. `gone`: the consumer was killed or is closed; what was not answered until then may not have been settled. */
  readonly what: 'ack' | 'nack' | 'refused' | 'lost' | 'gone' | 'durable';
  readonly consumer: string;
  readonly group: string;
  readonly sequence: number;
  readonly epoch: number;
  readonly counter: number;
  readonly value: string;
}

/** What was found when the subscription was done. */
export interface HandledReport {
  readonly violations: readonly string[];
  readonly acked: number;
  readonly nacked: number;
  /** Acknowledgements of what had been acknowledged before. */
  readonly repeated: number;
  readonly refused: number;
  /** Holds under which something was handled. */
  readonly holds: number;
}

/**
 * Holds the entries, by time, against what is stored (values by group, in order). Along rising tokens each group is handled in order, without
 * a gap and to the end, with the values that are stored; and nobody settles under a token when a higher one was seen before, unless
 * that is refused, its consumer never hears of it, or the same consumer came back and holds the group with a higher token: then it settled with that.
 */
export function checkHandled(
  entries: readonly HandledEntry[],
  stored: ReadonlyMap<string, readonly string[]>,
): HandledReport {
  const violations: string[] = [];
  const groups = new Map<string, HandledEntry[]>();
  const durable = new Map<string, HandledEntry[]>();
  const told = new Map<string, HandledEntry[]>();
  let refused = 0;
  for (const entry of entries) {
    if (entry.what === 'refused') refused++;
    const handled = entry.what === 'ack' || entry.what === 'nack';
    const map = handled ? groups : entry.what === 'durable' ? durable : told;
    const key = map === told ? entry.consumer : entry.group;
    const own = map.get(key);
    if (own === undefined) map.set(key, [entry]);
    else own.push(entry);
  }
  const counts = { acked: 0, nacked: 0, repeated: 0, holds: 0 };
  for (const [group, values] of stored) {
    const own = groups.get(group) ?? [];
    checkTokens(own, told, violations);
    checkDurable(own, durable.get(group) ?? [], violations);
    checkOrder(group, own, values, violations, counts);
  }
  return { violations, refused, ...counts };
}

function checkOrder(
  group: string,
  own: readonly HandledEntry[],
  values: readonly string[],
  violations: string[],
  counts: { acked: number; nacked: number; repeated: number; holds: number },
): void {
  let done = 0;
  let before: HandledEntry | null = null;
  for (const entry of [...own].sort(byToken)) {
    const { sequence, what, epoch, counter } = entry;
    const at = `${group} #${sequence} with ${epoch}/${counter} at ${entry.consumer}`;
    const sameHold = before !== null && before.epoch === epoch && before.counter === counter;
    if (!sameHold) counts.holds++;
    if (sequence > done + 1) violations.push(`${at} handled although only ${done} was acknowledged`);
    if (sameHold && before !== null && sequence <= before.sequence) {
      violations.push(`${at} handled behind ${before.sequence}`);
    }
    if (entry.value !== values[sequence - 1]) violations.push(`${at} has another value than what is stored`);
    if (what === 'nack') counts.nacked++;
    else if (sequence <= done) counts.repeated++;
    else {
      counts.acked++;
      done = sequence;
    }
    before = entry;
  }
  if (done !== values.length) violations.push(`${group}: ${done} of ${values.length} acknowledged`);
}

function checkTokens(
  own: readonly HandledEntry[],
  told: ReadonlyMap<string, readonly HandledEntry[]>,
  violations: string[],
): void {
  let highest: HandledEntry | null = null;
  for (const entry of own) {
    // In one millisecond of two processes nobody knows who was first.
    if (highest !== null && isLower(entry, highest) && entry.at > highest.at) {
      const { group, consumer, sequence, at } = entry;
      const heard = told
        .get(consumer)
        ?.some((other) => (other.what === 'gone' || other.group === group) && other.at >= at);
      const cameBack = own.some(
        (other) => other.consumer === consumer && other.at >= at && isLower(entry, other),
      );
      if (heard !== true && !cameBack) {
        violations.push(
          `${group} #${sequence} settled by ${consumer} although ${highest.consumer} had a higher token`,
        );
      }
    }
    if (highest === null || isLower(highest, entry)) highest = entry;
  }
}

/** What was answered as settled is not given to a later holder. */
function checkDurable(
  own: readonly HandledEntry[],
  durable: readonly HandledEntry[],
  violations: string[],
): void {
  for (const answer of durable) {
    const again = own.find(
      (entry) => entry.at > answer.at && entry.sequence <= answer.sequence && isLower(answer, entry),
    );
    if (again === undefined) continue;
    const { group, sequence, consumer } = again;
    violations.push(
      `${group} #${sequence} given to ${consumer} although ${answer.sequence} had been answered as settled`,
    );
  }
}

/** Whether `a` has a lower token than `b`. */
export function isLower(
  a: Pick<HandledEntry, 'epoch' | 'counter'>,
  b: Pick<HandledEntry, 'epoch' | 'counter'>,
): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.counter < b.counter);
}

function byToken(a: HandledEntry, b: HandledEntry): number {
  return a.epoch - b.epoch || a.counter - b.counter || a.at - b.at;
}
