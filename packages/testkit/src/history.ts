/**
 * What producers sent, what they were told, and what readers found: kept while a test runs, judged at its end. Pure: no
 * clock and no I/O, so that the simulator and tests with real processes share one judge.
 */

/** Where an acknowledged message was said to be. */
export interface Receipt {
  readonly partition: number;
  readonly offset: number;
  readonly sequence: number;
}

/** A message as a reader got it. `id` names the message uniquely in its group; the test puts it into the value. */
export interface HistoryRecord extends Receipt {
  readonly group: string;
  readonly id: string;
}

/** One thing that is wrong. */
export interface Finding {
  readonly group: string;
  readonly id: string;
  readonly detail: string;
}

/** All lists are empty when the guarantees held. */
export interface Verdict {
  /** Acknowledged, never read (G1). Only meaningful after a full read from the earliest offset. */
  readonly lost: readonly Finding[];
  /** Stored at two offsets (G3). */
  readonly duplicated: readonly Finding[];
  /** Against a producer's order of calls, against acknowledged-before-sent, or read with falling sequences (G2). */
  readonly outOfOrder: readonly Finding[];
  /** A group's sequences are not 1, 2, 3, … (G7). */
  readonly gaps: readonly Finding[];
  /** Read but never sent, or sent and definitely refused (C2). */
  readonly phantom: readonly Finding[];
  /** One offset with two values, or a receipt that names another place than the record has (C3). */
  readonly changed: readonly Finding[];
  readonly sent: number;
  readonly acknowledged: number;
  readonly failed: number;
  readonly unknown: number;
  readonly read: number;
  /** True when every list is empty. */
  readonly clean: boolean;
}

interface SentMessage {
  readonly id: string;
  readonly producer: string;
  readonly sentAt: number;
  acknowledgedAt: number;
  receipt: Receipt | null;
  failed: boolean;
}

interface GroupHistory {
  readonly sent: Map<string, SentMessage>;
  readonly records: HistoryRecord[];
  lastRead: number;
}

interface Findings {
  readonly lost: Finding[];
  readonly duplicated: Finding[];
  readonly outOfOrder: Finding[];
  readonly gaps: Finding[];
  readonly phantom: Finding[];
  readonly changed: Finding[];
}

/**
 * Collects a run and judges it. A message that was sent and neither acknowledged nor failed has an unknown outcome: it may
 * be read or not. Reading the same offset again (another reader, a restart) is fine as long as it holds the same message.
 */
export class History {
  readonly #groups = new Map<string, GroupHistory>();
  readonly #places = new Map<string, HistoryRecord>();
  readonly #early: Findings = emptyFindings();
  #events = 0;

  /** A send call was made. Calls of one `producer` for one group must be reported in their order. */
  sent(group: string, id: string, producer = ''): void {
    const messages = this.#group(group).sent;
    if (messages.has(id))
      throw new Error(`history: ${group}/${id} sent twice; ids must be unique in their group`);
    this.#events += 1;
    messages.set(id, {
      id,
      producer,
      sentAt: this.#events,
      acknowledgedAt: Number.POSITIVE_INFINITY,
      receipt: null,
      failed: false,
    });
  }

  /** The send succeeded. */
  acknowledged(group: string, id: string, receipt: Receipt): void {
    const message = this.#sentMessage(group, id);
    this.#events += 1;
    message.acknowledgedAt = this.#events;
    message.receipt = receipt;
  }

  /** The send was definitely not applied. An unknown outcome is not to be reported here: leave it open. */
  failed(group: string, id: string): void {
    this.#sentMessage(group, id).failed = true;
  }

  /** A reader got this record; to be called in the order of arrival. */
  read(record: HistoryRecord): void {
    const place = `${record.partition}/${record.offset}`;
    const before = this.#places.get(place);
    if (before !== undefined) {
      if (before.group !== record.group || before.id !== record.id || before.sequence !== record.sequence) {
        this.#early.changed.push(
          finding(record, `offset ${place} held ${before.group}/${before.id} #${before.sequence} before`),
        );
      }
      return;
    }
    this.#places.set(place, record);
    const group = this.#group(record.group);
    if (record.sequence <= group.lastRead) {
      this.#early.outOfOrder.push(finding(record, `read #${record.sequence} after #${group.lastRead}`));
    }
    group.lastRead = Math.max(group.lastRead, record.sequence);
    group.records.push(record);
  }

  /** What was read, by group: ids in the order of their sequences. */
  stored(): ReadonlyMap<string, readonly string[]> {
    const stored = new Map<string, readonly string[]>();
    for (const [name, { records }] of this.#groups) {
      const ordered = [...records].sort((a, b) => a.sequence - b.sequence);
      if (ordered.length > 0)
        stored.set(
          name,
          ordered.map(({ id }) => id),
        );
    }
    return stored;
  }

  /** Judges what was collected so far. May be called again after more was read. */
  verdict(): Verdict {
    const found = emptyFindings();
    found.changed.push(...this.#early.changed);
    found.outOfOrder.push(...this.#early.outOfOrder);
    const counts = { sent: 0, acknowledged: 0, failed: 0, unknown: 0 };
    for (const [name, group] of this.#groups) {
      judgeSent(name, group, found, counts);
      judgeRecords(name, group, found);
    }
    const clean = Object.values(found).every((list: readonly Finding[]) => list.length === 0);
    return { ...found, ...counts, read: this.#places.size, clean };
  }

  #group(name: string): GroupHistory {
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { sent: new Map(), records: [], lastRead: 0 };
      this.#groups.set(name, group);
    }
    return group;
  }

  #sentMessage(group: string, id: string): SentMessage {
    const message = this.#groups.get(group)?.sent.get(id);
    if (message === undefined) throw new Error(`history: outcome of ${group}/${id}, which was never sent`);
    return message;
  }
}

function judgeSent(
  name: string,
  group: GroupHistory,
  found: Findings,
  counts: { sent: number; acknowledged: number; failed: number; unknown: number },
): void {
  const places = new Map<string, HistoryRecord>();
  for (const record of group.records) if (!places.has(record.id)) places.set(record.id, record);
  for (const message of group.sent.values()) {
    counts.sent += 1;
    const record = places.get(message.id);
    if (message.receipt !== null) {
      counts.acknowledged += 1;
      judgeReceipt(name, message.id, message.receipt, record, found);
    } else if (message.failed) {
      counts.failed += 1;
      if (record !== undefined) found.phantom.push(finding(record, 'refused for certain, yet stored'));
    } else counts.unknown += 1;
  }
}

function judgeReceipt(
  group: string,
  id: string,
  receipt: Receipt,
  record: HistoryRecord | undefined,
  found: Findings,
): void {
  const said = `${receipt.partition}/${receipt.offset} #${receipt.sequence}`;
  if (record === undefined) {
    found.lost.push({ group, id, detail: `acknowledged at ${said}` });
    return;
  }
  const is = `${record.partition}/${record.offset} #${record.sequence}`;
  if (said !== is) found.changed.push({ group, id, detail: `acknowledged at ${said}, read at ${is}` });
}

/** Order and density of one group, over its records by rising sequence. */
function judgeRecords(name: string, group: GroupHistory, found: Findings): void {
  const records = [...group.records].sort((a, b) => a.sequence - b.sequence || a.offset - b.offset);
  const seen = new Set<string>();
  const lastOfProducer = new Map<string, number>();
  let latestSent = 0;
  let expected = 1;
  for (const record of records) {
    if (record.sequence !== expected) {
      found.gaps.push({
        group: name,
        id: record.id,
        detail: `sequence ${record.sequence}, expected ${expected}`,
      });
    }
    expected = record.sequence + 1;
    const message = group.sent.get(record.id);
    if (message === undefined) {
      found.phantom.push(finding(record, 'never sent'));
      continue;
    }
    if (seen.has(record.id)) {
      found.duplicated.push(finding(record, `again at ${record.partition}/${record.offset}`));
      continue;
    }
    seen.add(record.id);
    if (message.sentAt < (lastOfProducer.get(message.producer) ?? 0)) {
      found.outOfOrder.push(finding(record, `#${record.sequence} was sent before its predecessor`));
    } else if (message.acknowledgedAt < latestSent) {
      found.outOfOrder.push(finding(record, 'acknowledged before a message of lower sequence was sent'));
    }
    lastOfProducer.set(message.producer, Math.max(message.sentAt, lastOfProducer.get(message.producer) ?? 0));
    latestSent = Math.max(latestSent, message.sentAt);
  }
}

function finding(record: HistoryRecord, detail: string): Finding {
  return { group: record.group, id: record.id, detail };
}

function emptyFindings(): Findings {
  return { lost: [], duplicated: [], outOfOrder: [], gaps: [], phantom: [], changed: [] };
}
