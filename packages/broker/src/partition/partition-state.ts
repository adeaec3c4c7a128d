/**
 * A partition's replicated state: group records, the end of the log in offsets, what retention removed. Deterministic: it
 * knows no clock and never looks at message bytes. What it may not decide (who may append what) the leader has decided.
 */
import { crc32 } from 'node:zlib';
import type { EntryDescription, Leadership, StateMachine } from '@seriatim/multiraft';
import type { Entry } from '@seriatim/raft';
import { AppendHeader } from './append-header.ts';
import {
  COMMAND_APPEND,
  COMMAND_OPEN_WRITER,
  COMMAND_REMOVE_BEFORE,
  commandKind,
  decodeOpenWriter,
  decodeRemoveBefore,
} from './command.ts';
import type { GroupNames } from './group-names.ts';
import { GroupRecords } from './group-records.ts';
import { readImage, writeImage } from './image-codec.ts';
import { MemoryTail } from './memory-tail.ts';
import { mustHold, ShardFault } from './shard-fault.ts';
import {
  COMMAND_GROUP_ACTION,
  COMMAND_POSITION,
  COMMAND_PROGRESS,
  COMMAND_SESSIONS,
} from './subscription/subscription-command.ts';
import { SubscriptionsState } from './subscription/subscription-state.ts';
import { WriterFences } from './writer-fences.ts';

/** What a partition's state needs of the outside. */
export interface PartitionStateOptions {
  /** Makes an empty table; called again when an image replaces the state. */
  readonly names: () => GroupNames;
  readonly tailBytesMax: number;
}

/** Told what applying did; the state itself does nothing to the outside. */
export interface StateListener {
  /** Records up to the new high watermark can be read. */
  advanced?(): void;
  /** Everything below was removed by retention, or an image came with that low watermark. */
  removed?(lowWatermark: number, firstIndex: number): void;
  leadership?(leadership: Leadership): void;
  /** A subscription began, began anew, or was forgotten. */
  repositioned?(subscription: number): void;
}

/** See the head of this file. */
export class PartitionState implements StateMachine {
  /** Names of the groups by number; replaced, as {@link records}, when an image comes. */
  names: GroupNames;
  records: GroupRecords = new GroupRecords();
  /** Epochs of named producers. */
  fences: WriterFences = new WriterFences();
  subscriptions: SubscriptionsState = new SubscriptionsState();
  readonly tail: MemoryTail;
  readonly #options: PartitionStateOptions;
  readonly #header = new AppendHeader();
  readonly #listeners: StateListener[] = [];
  #appliedIndex = 0;
  #nextOffset = 0;
  #lowWatermark = 0;
  #firstIndex = 0;
  #highestForgotten = 0;
  #lastTimestamp = 0;

  constructor(options: PartitionStateOptions) {
    this.#options = options;
    this.names = options.names();
    this.tail = new MemoryTail(options.tailBytesMax);
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }
  /** The high watermark: offset of the next record. */
  get nextOffset(): number {
    return this.#nextOffset;
  }
  get lowWatermark(): number {
    return this.#lowWatermark;
  }
  /** First log index that retention keeps. */
  get firstIndex(): number {
    return this.#firstIndex;
  }
  /** Highest life of a group that this partition has forgotten; an unknown group is taken only with a higher one. */
  get highestForgotten(): number {
    return this.#highestForgotten;
  }
  /** Time stamp of the newest record, milliseconds since 1970. */
  get lastTimestamp(): number {
    return this.#lastTimestamp;
  }

  listen(listener: StateListener): void {
    this.#listeners.push(listener);
  }

  /** Throws {@link ShardFault} for a command of an unknown version or kind, or one that does not fit the state. */
  apply(entries: readonly Entry[]): void {
    const before = this.#nextOffset;
    for (const entry of entries) {
      mustHold(
        this.#appliedIndex === 0 || entry.index === this.#appliedIndex + 1,
        `entry ${entry.index} behind applied index ${this.#appliedIndex}`,
      );
      this.subscriptions.noteTerm(entry.term);
      if (entry.type === 'command') this.#applyCommand(entry);
      this.#appliedIndex = entry.index;
    }
    if (this.#nextOffset === before) return;
    for (const listener of this.#listeners) listener.advanced?.();
  }

  image(): Iterable<Uint8Array> {
    // Records are copied in this one step; names only ever get more, and numbers are read now.
    return writeImage(
      {
        appliedIndex: this.#appliedIndex,
        nextOffset: this.#nextOffset,
        lowWatermark: this.#lowWatermark,
        firstIndex: this.#firstIndex,
        highestForgotten: this.#highestForgotten,
        lastTimestamp: this.#lastTimestamp,
      },
      this.names,
      this.records.copy(),
      this.fences.rows(),
      this.subscriptions.copy(),
    );
  }

  restore(chunks: Iterable<Uint8Array>): void {
    const names = this.#options.names();
    const { numbers, records, fences, subscriptions } = readImage(chunks, names);
    this.names = names;
    this.records = records;
    this.fences = fences;
    this.subscriptions = subscriptions;
    this.tail.clear();
    this.#appliedIndex = numbers.appliedIndex;
    this.#nextOffset = numbers.nextOffset;
    this.#lowWatermark = numbers.lowWatermark;
    this.#firstIndex = numbers.firstIndex;
    this.#highestForgotten = numbers.highestForgotten;
    this.#lastTimestamp = numbers.lastTimestamp;
    for (const listener of this.#listeners) {
      listener.advanced?.();
      if (this.#firstIndex > 0) listener.removed?.(this.#lowWatermark, this.#firstIndex);
    }
  }

  describe(entry: Entry): EntryDescription | null {
    if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) return null;
    const known = this.tail.byIndex(entry.index);
    if (known !== undefined) {
      return {
        offset: known.baseOffset,
        count: known.records,
        timestamp: known.timestamp,
        groups: known.groups,
      };
    }
    const header = this.#header;
    header.read(entry.data);
    const groups = new Set<number>();
    for (let run = 0; run < header.runs; run++) groups.add(header.group[run] as number);
    groups.delete(-1);
    return {
      offset: header.baseOffset,
      count: header.records,
      timestamp: header.timestamp,
      groups: [...groups],
    };
  }

  onLeadership(leadership: Leadership): void {
    for (const listener of this.#listeners) listener.leadership?.(leadership);
  }

  /** CRC-32 of the image: equal on all replicas at an equal applied index. For tests and checkers. */
  hash(): number {
    let sum = 0;
    for (const chunk of this.image()) sum = crc32(chunk, sum);
    return sum;
  }

  #applyCommand(entry: Entry): void {
    const kind = commandKind(entry.data);
    switch (kind) {
      case COMMAND_APPEND:
        this.#applyAppend(entry);
        return;
      case COMMAND_REMOVE_BEFORE:
        this.#applyRemoveBefore(entry);
        return;
      case COMMAND_OPEN_WRITER: {
        const { producerId, epoch } = decodeOpenWriter(entry.data);
        this.fences.raise(producerId, epoch);
        return;
      }
      case COMMAND_POSITION:
      case COMMAND_PROGRESS:
      case COMMAND_GROUP_ACTION:
      case COMMAND_SESSIONS:
        this.#applySubscription(kind, entry.data);
        return;
      default:
        throw new ShardFault(
          `command kind ${kind} at index ${entry.index} is not known here; upgrade this node`,
        );
    }
  }

  #applyAppend(entry: Entry): void {
    const header = this.#header;
    header.read(entry.data);
    const base = header.baseOffset;
    mustHold(
      base === this.#nextOffset,
      `entry ${entry.index} has base offset ${base}, expected ${this.#nextOffset}`,
    );
    for (let at = 0; at < header.newGroups; at++) {
      const group = this.names.add(entry.data, header.nameStart[at] as number, header.nameEnd[at] as number);
      const declared = header.newGroup[at] as number;
      mustHold(
        group === declared && this.records.add() === declared,
        `entry ${entry.index} declares group ${declared}, expected ${group}`,
      );
    }
    const groups: number[] = [];
    let offset = base;
    for (let run = 0; run < header.runs; run++) {
      const group = header.group[run] as number;
      const count = header.count[run] as number;
      if (group >= 0) {
        // Each group once: its last offset shows whether an earlier run of this entry named it.
        if (group >= this.records.count) {
          throw new ShardFault(`entry ${entry.index} names unknown group ${group}`);
        }
        if (this.records.lastOffset(group) < base) groups.push(group);
        this.#applyRun(entry.index, group, run, offset);
      }
      offset += count;
    }
    this.#nextOffset = offset;
    this.#lastTimestamp = header.timestamp;
    this.tail.push({
      entry,
      baseOffset: base,
      records: header.records,
      timestamp: header.timestamp,
      groups,
    });
  }

  #applyRun(index: number, group: number, run: number, offset: number): void {
    const header = this.#header;
    const records = this.records;
    const life = header.life[run] as number;
    const count = header.count[run] as number;
    const firstSequence = header.firstSequence[run] as number;
    if (life > records.life(group)) records.beginLife(group, life);
    if (life !== records.life(group) || firstSequence !== records.lastSequence(group) + 1) {
      const before = `life ${records.life(group)} sequence ${records.lastSequence(group)}`;
      throw new ShardFault(
        `entry ${index}: group ${group} gets life ${life} sequence ${firstSequence} behind ${before}`,
      );
    }
    records.advance(group, firstSequence + count - 1, offset + count - 1, header.timestamp);
    const producer = header.producer[run] as number;
    if (producer === 0) return;
    const fence = this.fences.epoch(producer);
    if (fence > 0 && (header.epoch[run] as number) < fence) {
      throw new ShardFault(`entry ${index}: producer ${producer} appends behind its fence at epoch ${fence}`);
    }
    records.remember(
      group,
      producer,
      header.epoch[run] as number,
      header.producerSequence[run] as number,
      count,
      header.checksum[run] as number,
      offset,
      firstSequence,
      header.timestamp,
      index,
    );
  }

  #applySubscription(kind: number, data: Uint8Array): void {
    const repositioned = this.subscriptions.apply(kind, data);
    if (repositioned === 0) return;
    for (const listener of this.#listeners) listener.repositioned?.(repositioned);
  }

  #applyRemoveBefore(entry: Entry): void {
    const command = decodeRemoveBefore(entry.data);
    mustHold(
      command.lowWatermark <= this.#nextOffset && command.firstIndex <= entry.index,
      `entry ${entry.index} removes up to offset ${command.lowWatermark}, index ${command.firstIndex}`,
    );
    this.#lowWatermark = Math.max(this.#lowWatermark, command.lowWatermark);
    this.#firstIndex = Math.max(this.#firstIndex, command.firstIndex);
    for (const listener of this.#listeners) listener.removed?.(this.#lowWatermark, this.#firstIndex);
  }
}
