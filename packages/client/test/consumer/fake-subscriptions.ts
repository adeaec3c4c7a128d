import { Buffer } from 'node:buffer';
import {
  CONSUME_EVENT_KIND_ATTACHED,
  CONSUME_EVENT_KIND_HELD,
  CONSUME_EVENT_KIND_HOLD_LOST,
  CONSUME_EVENT_KIND_LEADER_CHANGED,
  type ConsumeOpen,
  decodeConsumeRequest,
  encodeGroupField,
  encodeMessage,
  messageSize,
  NACK_BACKOFF,
  RefusalError,
  SETTLEMENT_KIND_ACK,
  SETTLEMENT_KIND_EXTEND,
  SETTLEMENT_KIND_NACK,
  WireWriter,
} from '@seriatim/protocol';
import { UnreachableError } from '../../src/error.ts';
import type { ConsumeCall, ConsumeListener } from '../../src/ports.ts';
import type { FakeBroker, FakePartition, StoredRecord } from '../fake-broker.ts';
import {
  extendTo,
  type FakeHold,
  FakeStream,
  type FakeTime,
  type GroupState,
  LIFE,
  type PartitionState,
  type SeenRow,
} from './fake-consume-stream.ts';

const NO_EVENT = { group: '', life: 0, tokenEpoch: 0, tokenCounter: 0, firstSequence: 0, lastSequence: 0 };
const EVENT = { ...NO_EVENT, leaderAddress: '', code: '' };

/** The rules of Consume on a FakeBroker's records, in memory: holds by token, heads, come-back of 2 s. No replication. */
export class FakeSubscriptions {
  readonly #broker: FakeBroker;
  readonly #time: FakeTime;
  readonly #topic: string;
  readonly #partitions: PartitionState[];
  readonly streams: FakeStream[] = [];
  /** In the order of their arrival. */
  readonly opens: { readonly address: string; readonly open: ConsumeOpen }[] = [];
  readonly rows: SeenRow[] = [];
  requests = 0;
  holdMilliseconds = 30_000;
  backoffMilliseconds = 100;
  maxDeliveries = 5;
  runMax = 4;
  /** Milliseconds from a settlement to its answer; `never`: none comes. */
  answerMilliseconds: number | 'never' = 2;
  /** Decides a row against its rules: a code refuses it. */
  refuse: (row: { readonly kind: number; readonly group: string; readonly sequence: number }) => string =
    () => '';
  /** Nodes that take no stream. */
  readonly down = new Set<string>();
  /** Refuses to open. */
  refuseOpen: (address: string) => RefusalError | null = () => null;
  #pumping = false;

  constructor(broker: FakeBroker, time: FakeTime, topic: string) {
    this.#broker = broker;
    this.#time = time;
    this.#topic = topic;
    this.#partitions = broker.topic(topic).partitions.map(() => newPartition());
  }

  /** Stores a message of a group in a partition. */
  publish(partition: number, group: string, value: string | Uint8Array): void {
    this.#state(partition);
    const { records } = this.partition(partition);
    const field = group === '' ? Buffer.alloc(0) : encodeGroupField(group);
    const writer = new WireWriter(64);
    encodeMessage(writer, { value, key: 'k' }, field, messageSize({ value, key: 'k' }, field.length));
    const sequence = records.filter((record) => record.group === group).length + 1;
    const bytes = Buffer.from(writer.take());
    records.push({ offset: records.length, group, sequence, bytes } as unknown as StoredRecord);
    this.pump();
  }

  partition(partition: number): FakePartition {
    return this.#broker.partition(this.#topic, partition);
  }

  group(partition: number, group: string): GroupState {
    const { groups } = this.#state(partition);
    let state = groups.get(group);
    if (state === undefined) {
      state = { settled: 0, failures: 0, notBefore: 0, parked: false, hold: null, awaited: null };
      groups.set(group, state);
    }
    return state;
  }

  settled(partition: number, group: string): number {
    return this.group(partition, group).settled;
  }

  consume(address: string, listener: ConsumeListener): ConsumeCall {
    const stream = new FakeStream(address, listener, this.#time);
    return {
      send: (bytes) => {
        const copy = Buffer.from(bytes);
        this.#time.schedule(1, () => {
          if (!stream.over) this.#request(stream, copy);
        });
      },
      cancel: () => {
        stream.silent = true;
        this.#time.schedule(1, () => this.#broken(stream));
      },
    };
  }

  /** Another node leads; the old one says so, or is silent where it is down. */
  changeLeader(partition: number, node: number): void {
    const place = this.partition(partition);
    const from = this.#broker.addresses[place.leader];
    place.leader = node;
    const state = this.#state(partition);
    state.epoch++;
    state.counter = 0;
    const to = this.#broker.addresses[node] ?? '';
    for (const group of state.groups.values()) this.#await(group);
    for (const stream of this.streams) {
      const event = { ...EVENT, partition };
      if (stream.address === from)
        stream.tell({ ...event, kind: CONSUME_EVENT_KIND_LEADER_CHANGED, leaderAddress: to });
      if (stream.address === to) stream.tell({ ...event, kind: CONSUME_EVENT_KIND_ATTACHED });
    }
    this.pump();
  }

  /** The connections to a node break. */
  breakNode(address: string): void {
    for (const stream of this.streams.filter((one) => one.address === address)) {
      this.#broken(stream);
      stream.end(new UnreachableError('PEER_UNREACHABLE', 'broken', { outcome: 'unknown' }));
    }
  }

  /** Ends every stream with an error of the broker's. */
  endAll(error: RefusalError): void {
    for (const stream of [...this.streams]) {
      this.#broken(stream);
      stream.end(error);
    }
  }

  /** Takes a group from its holder. */
  take(partition: number, group: string, code: string): void {
    const state = this.group(partition, group);
    if (state.hold !== null) this.#lose(partition, state, code);
    this.pump();
  }

  /** Gives what is free to who has credit, a little later. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#time.schedule(1, () => {
      this.#pumping = false;
      this.#dispatch();
    });
  }

  #state(partition: number): PartitionState {
    let state = this.#partitions[partition];
    if (state === undefined) {
      state = newPartition();
      this.#partitions[partition] = state;
    }
    return state;
  }

  #request(stream: FakeStream, bytes: Buffer): void {
    this.requests++;
    const request = decodeConsumeRequest(bytes);
    if (request.open !== null) {
      const { address } = stream;
      const refusal = this.down.has(address)
        ? new UnreachableError('PEER_UNREACHABLE', `${address} is down`)
        : this.refuseOpen(address);
      if (refusal !== null) {
        stream.over = true;
        stream.end(refusal);
        return;
      }
      this.#open(stream, request.open);
    }
    stream.creditMessages += request.creditMessages;
    stream.creditBytes += request.creditBytes;
    stream.creditMax = Math.max(stream.creditMax, stream.creditMessages);
    this.#settle(stream, request);
    if (request.leave) {
      for (const { groups } of this.#partitions) {
        for (const state of groups.values()) if (state.hold?.stream === stream) state.hold = null;
      }
      stream.over = true;
      this.streams.splice(this.streams.indexOf(stream), 1);
      this.#time.schedule(3, () => stream.end(null));
    }
    this.pump();
  }

  #open(stream: FakeStream, open: ConsumeOpen): void {
    const { address } = stream;
    this.opens.push({ address, open });
    stream.session = open.session;
    const older = this.streams.find((one) => one.address === address && one.session === open.session);
    if (older !== undefined) {
      this.#broken(older);
      older.end(new RefusalError('SESSION_REPLACED', 'a newer stream came'));
    }
    this.streams.push(stream);
    for (const [index, group] of open.resumeGroups.entries()) {
      const partition = open.resumePartitions[index] ?? 0;
      const life = open.resumeLives[index] ?? 0;
      const tokenEpoch = open.resumeTokenEpochs[index] ?? 0;
      const tokenCounter = open.resumeTokenCounters[index] ?? 0;
      const event = { ...EVENT, partition, group, life, tokenEpoch, tokenCounter };
      const leader = this.#broker.addresses[this.partition(partition).leader] ?? '';
      const state = this.group(partition, group);
      const lost = { ...event, kind: CONSUME_EVENT_KIND_HOLD_LOST };
      if (leader !== address) stream.tell({ ...lost, code: 'NOT_LEADER', leaderAddress: leader });
      else if (state.hold !== null) stream.tell({ ...lost, code: 'HOLD_TAKEN' });
      else if (state.awaited?.session !== open.session) stream.tell({ ...lost, code: 'HOLD_EXPIRED' });
      else {
        const hold = this.#hold(partition, group, stream, open.resumeSequences[index] ?? 0);
        const { epoch, counter } = hold;
        stream.tell({ ...event, kind: CONSUME_EVENT_KIND_HELD, tokenEpoch: epoch, tokenCounter: counter });
      }
    }
    for (const [partition] of this.#partitions.entries()) {
      const leads = this.#broker.addresses[this.partition(partition).leader] === address;
      if (leads) stream.tell({ ...EVENT, kind: CONSUME_EVENT_KIND_ATTACHED, partition });
    }
  }

  #settle(stream: FakeStream, request: ReturnType<typeof decodeConsumeRequest>): void {
    const refusedRows: number[] = [];
    const refusedCodes: string[] = [];
    let reasons = 0;
    for (const [index, kind] of request.settleKinds.entries()) {
      stream.rows++;
      const partition = request.settlePartitions[index] ?? 0;
      const epoch = request.settleTokenEpochs[index] ?? 0;
      const counter = request.settleTokenCounters[index] ?? 0;
      const sequence = request.settleSequences[index] ?? 0;
      const milliseconds = request.settleMilliseconds[index] ?? 0;
      const fails = kind !== SETTLEMENT_KIND_ACK && kind !== SETTLEMENT_KIND_EXTEND;
      const reason = fails ? (request.settleReasons[reasons++] ?? '') : '';
      const states = [...this.#state(partition).groups.values()];
      const state = states.find(({ hold }) => hold?.epoch === epoch && hold.counter === counter);
      const group = state?.hold?.group ?? '';
      const given = this.refuse({ kind, group, sequence });
      const row = { kind, sequence, milliseconds };
      const code =
        given !== '' ? given : state?.hold?.stream === stream ? this.#apply(state, row) : 'HOLD_LOST';
      const { address } = stream;
      this.rows.push({ address, partition, epoch, counter, group, reason, code, ...row });
      if (code === '') continue;
      refusedRows.push(stream.rows);
      refusedCodes.push(code);
    }
    if (request.settleKinds.length === 0 || this.answerMilliseconds === 'never') return;
    const { rows } = stream;
    this.#time.schedule(this.answerMilliseconds, () => stream.answer(rows, refusedRows, refusedCodes));
  }

  #apply(
    state: GroupState,
    row: { readonly kind: number; readonly sequence: number; readonly milliseconds: number },
  ): string {
    const hold = state.hold as FakeHold;
    if (row.kind === SETTLEMENT_KIND_EXTEND) {
      extendTo(hold, this.#time.now() + (row.milliseconds || this.holdMilliseconds));
      return '';
    }
    if (row.kind === SETTLEMENT_KIND_ACK) {
      if (row.sequence > hold.delivered) return 'SETTLEMENT_OUT_OF_ORDER';
      if (row.sequence > state.settled) state.failures = 0;
      state.settled = Math.max(state.settled, row.sequence);
      extendTo(hold, this.#time.now() + this.holdMilliseconds);
      if (state.settled === hold.delivered) state.hold = null;
      return '';
    }
    if (row.sequence !== state.settled + 1) return 'SETTLEMENT_OUT_OF_ORDER';
    const delay = row.milliseconds === NACK_BACKOFF ? this.backoffMilliseconds : row.milliseconds;
    this.#fail(state, delay);
    state.parked ||= row.kind !== SETTLEMENT_KIND_NACK;
    return '';
  }

  #fail(state: GroupState, delay: number): void {
    state.hold = null;
    state.failures++;
    state.parked = state.failures >= this.maxDeliveries;
    state.notBefore = this.#time.now() + delay;
    this.#time.schedule(delay, () => this.pump());
  }

  #lose(partition: number, state: GroupState, code: string): void {
    const { group, epoch, counter, stream } = state.hold as FakeHold;
    state.hold = null;
    const token = { tokenEpoch: epoch, tokenCounter: counter };
    stream.tell({
      ...EVENT,
      kind: CONSUME_EVENT_KIND_HOLD_LOST,
      partition,
      group,
      life: LIFE,
      ...token,
      code,
    });
  }

  #broken(stream: FakeStream): void {
    stream.over = true;
    const place = this.streams.indexOf(stream);
    if (place < 0) return;
    this.streams.splice(place, 1);
    for (const { groups } of this.#partitions) {
      for (const group of groups.values()) if (group.hold?.stream === stream) this.#await(group);
    }
  }

  #await(group: GroupState): void {
    if (group.hold === null) return;
    group.awaited = { session: group.hold.session, until: this.#time.now() + 2000 };
    group.hold = null;
    this.#time.schedule(2000, () => this.pump());
  }

  #hold(partition: number, group: string, stream: FakeStream, delivered: number): FakeHold {
    const state = this.#state(partition);
    const hold = {
      group,
      epoch: state.epoch,
      counter: ++state.counter,
      session: stream.session,
      stream,
      delivered,
      endsAt: this.#time.now() + this.holdMilliseconds,
    };
    const place = this.group(partition, group);
    place.hold = hold;
    place.awaited = null;
    return hold;
  }

  #dispatch(): void {
    for (const [partition, { epoch }] of this.#partitions.entries()) {
      const { records, leader } = this.partition(partition);
      const address = this.#broker.addresses[leader];
      for (const name of new Set(records.map(({ group }) => group))) {
        const state = this.group(partition, name);
        this.#expire(partition, state);
        const { hold } = state;
        const stream = hold?.stream ?? this.#next(address);
        const awaited = state.awaited !== null && state.awaited.until > this.#time.now();
        if (stream === undefined || state.parked || state.notBefore > this.#time.now() || awaited) continue;
        const from = hold?.delivered ?? state.settled;
        const room = Math.min(this.runMax - (from - state.settled), stream.creditMessages);
        const run = records
          .filter(({ group, sequence }) => group === name && sequence > from)
          .slice(0, Math.max(0, room));
        if (run.length === 0 || stream.creditBytes <= 0) continue;
        const held = hold ?? this.#hold(partition, name, stream, from);
        held.delivered = from + run.length;
        stream.deliver(partition, epoch, held.counter, state.failures + 1, run, this.holdMilliseconds);
      }
    }
  }

  #expire(partition: number, state: GroupState): void {
    const { hold } = state;
    if (hold === null) return;
    const left = hold.endsAt - this.#time.now();
    if (left > 0) {
      this.#time.schedule(left, () => this.pump());
      return;
    }
    this.#lose(partition, state, 'HOLD_EXPIRED');
    this.#fail(state, this.backoffMilliseconds);
  }

  /** Streams of a node take turns. */
  #next(address: string | undefined): FakeStream | undefined {
    const place = this.streams.findIndex((one) => one.address === address && one.creditMessages > 0);
    const [stream] = place < 0 ? [] : this.streams.splice(place, 1);
    if (stream !== undefined) this.streams.push(stream);
    return stream;
  }
}

const newPartition = (): PartitionState => ({ epoch: 1, counter: 0, groups: new Map() });
