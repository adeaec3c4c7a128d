/**
 * A random model of a subscription: consumers that settle, fail, lie, come and go, leaders that change, time that passes; checked after each step against
 * an oracle that knows only what consumers saw. It needs no test runner, so that mistakes put in on purpose can be run through it.
 */
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { SETTLE_NACK, SETTLE_REJECT } from '../../../src/consume-contracts.ts';
import type { Offset } from '../../../src/contracts.ts';
import { groupNames } from '../../../src/partition/group-names.ts';
import { PartitionState } from '../../../src/partition/partition-state.ts';
import type { PartitionSubscriptions } from '../../../src/partition/subscription/partition-subscriptions.ts';
import { FLAG_BEHIND } from '../../../src/partition/subscription/subscription-rows.ts';
import type { SubscriptionId } from '../../../src/subscription-contracts.ts';
import { batch } from '../batches.ts';
import { replay, type Setup, settle } from '../setup.ts';
import { type KnownRecord, lostRecords, settledRecords, stuckGroups } from './desk-check.ts';
import { ModelConsumer } from './model-consumer.ts';
import { EXAMPLES } from './model-examples.ts';
import { ModelOperator } from './model-operator.ts';
import { Oracle } from './model-oracle.ts';
import { subscribed, turn } from './subscribed.ts';

const GROUPS = ['a', 'b', 'c', 'd', 'e'];
const SUBSCRIPTION = 1 as SubscriptionId;
/** Small, so that every limit is met. */
const LIMITS = {
  readAheadBytesMax: 60,
  groupReadAheadMax: 3,
  floorDistanceMax: 10,
  groupInFlightMax: 4,
  deliveryBytesMax: 30,
  catchUpReadsMax: 1,
  progressRowsMax: 3,
  progressInFlightMax: 2,
};

type Step = readonly [operation: number, a: number, b: number];

class World {
  readonly setup: Setup;
  readonly oracle = new Oracle();
  readonly consumers: ModelConsumer[];
  readonly operator: ModelOperator;
  #value = 0;

  constructor(setup: Setup) {
    this.setup = setup;
    this.operator = new ModelOperator(setup, this.oracle);
    this.consumers = [1, 2, 3].map((at) => new ModelConsumer(this.oracle, `consumer-${at}`));
  }

  /** One step of the world; numbers choose. */
  step([operation, a, b]: Step): void {
    const { shard, clock, partition } = this.setup;
    const consumer = this.consumers[a % this.consumers.length] as ModelConsumer;
    switch (operation) {
      case 0:
      case 1:
      case 2:
        this.produce(a, b);
        return;
      case 3:
      case 4:
        clock.turn();
        return;
      case 5:
        shard.commit(Math.min(shard.log.length, shard.committed + 1 + (b % 3)));
        return;
      case 6:
        shard.commit();
        shard.confirmReads(shard.leads);
        return;
      case 7:
      case 8:
        consumer.settle(b);
        return;
      case 9:
        consumer.settle(b, b % 5 === 0 ? SETTLE_REJECT : SETTLE_NACK);
        return;
      case 10:
        consumer.grant(1 + (b % 6), 40);
        return;
      case 11:
        if (!shard.leads) return;
        if (consumer.attachment === null) void consumer.attach(partition, b % 7 === 0);
        else if (b % 4 === 0) consumer.detach(b % 8 === 0 ? 'clean' : 'broken');
        return;
      case 12:
        if (!shard.leads) shard.lead();
        else if (b % 5 === 0) shard.lose(shard.committed + (a % 4));
        return;
      case 13:
        clock.wall += b * 5;
        clock.advance(b * 5);
        return;
      case 14:
        if (b % 6 === 0) clock.advance(b % 12 === 0 ? 2_100 : 1_000);
        return;
      case 15:
        consumer.lie(b);
        return;
      default:
        this.operator.act(GROUPS[a % GROUPS.length] as string, b);
    }
  }

  produce(a: number, b: number): void {
    const { partition, clock } = this.setup;
    const group = GROUPS[a % GROUPS.length] as string;
    const values = Array.from({ length: 1 + (b % 3) }, () => `:${this.#value++}`);
    void partition.append(batch([{ group, values }]), clock.time + 1_000);
  }

  /** In the end all is well: everybody comes, and acknowledges whatever comes. */
  async drain(): Promise<void> {
    const { setup } = this;
    for (let round = 0; round < 60; round++) {
      if (!setup.shard.leads) setup.shard.lead();
      await turn(setup);
      for (const consumer of this.consumers) {
        void consumer.attach(setup.partition);
        if (consumer.creditMessages < 20) consumer.grant(50, 2_000);
      }
      setup.clock.wall += 200;
      setup.clock.advance(200);
      await turn(setup);
      for (const consumer of this.consumers) consumer.settleAll();
      for (const group of GROUPS) if (this.setup.partition.group(group) !== null) this.operator.resume(group);
      await turn(setup);
      await this.resolveParked();
    }
  }

  async resolveParked(): Promise<void> {
    const { setup } = this;
    const deadline = setup.clock.time + 100;
    const answer = setup.partition.administration.parked(SUBSCRIPTION, null, deadline).catch(() => []);
    await turn(setup);
    for (const { group, headSequence } of await answer) {
      this.oracle.forgiven(group);
      const action = { type: 'retry', headSequence, who: 'test', why: '' } as const;
      const done = setup.partition.administration.act(SUBSCRIPTION, group, action, deadline);
      done.catch((error: Error) => this.oracle.violate(`retry of ${group}: ${error.message}`));
      await turn(setup);
    }
  }

  /** Rows, window and floor must agree with the records at any time. */
  async checkFloors(): Promise<void> {
    const { partition, shard } = this.setup;
    const applied = partition.state.subscriptions.get(1);
    const desk = shard.leads ? (partition.dispatch as PartitionSubscriptions).desk(SUBSCRIPTION) : undefined;
    const records = await readAll(this.setup);
    if (applied !== undefined) this.#checkFloor(records, applied.floor, applied.rows, 'applied');
    if (desk === undefined) return;
    assert(desk.window.floor <= desk.window.end, 'the floor passed the scan');
    assert(desk.window.end <= partition.state.nextOffset, 'the scan passed the end');
    assert(desk.groups.readAheadBytes >= 0, 'fewer than no bytes read ahead');
    this.#checkFloor(records, desk.window.floor, desk.progress.rows, 'working');
    const known = this.#known(records);
    const distance = desk.window.end - desk.window.floor;
    assert(distance <= LIMITS.floorDistanceMax, `the floor lies ${distance} below the scan`);
    assert.equal(desk.progress.done, settledRecords(desk, known), 'messages counted as settled');
    for (const what of lostRecords(desk, known, this.#sent)) this.oracle.violate(what);
  }

  /** With all that can happen done, and credit, every group is with somebody or waits for something that comes by itself. */
  async checkRest(): Promise<void> {
    const { shard, partition } = this.setup;
    for (let round = 0; round < 10; round++) await turn(this.setup);
    const desk = shard.leads ? (partition.dispatch as PartitionSubscriptions).desk(SUBSCRIPTION) : undefined;
    if (desk === undefined) return;
    const known = this.#known(await readAll(this.setup));
    for (const what of stuckGroups(desk, known, this.#sent)) this.oracle.violate(what);
  }

  #known(records: readonly StoredRecord[]): KnownRecord[] {
    return records.map(({ group, offset, sequence }) => ({ key: this.#key(group), offset, sequence }));
  }

  #key(group: string): number {
    const bytes = Buffer.from(group);
    return this.setup.partition.state.names.find(bytes, 0, bytes.length) + 1;
  }

  readonly #sent = (key: number): number => {
    const group = GROUPS.find((name) => this.#key(name) === key);
    if (group === undefined) return 0;
    const { sent, discarding } = this.oracle.group(group);
    return discarding > 0 ? Number.POSITIVE_INFINITY : sent;
  };

  #checkFloor(
    records: readonly StoredRecord[],
    floor: number,
    rows: PartitionState['subscriptions'] extends { get(id: number): infer S }
      ? NonNullable<S> extends { rows: infer R }
        ? R
        : never
      : never,
    which: string,
  ): void {
    for (const { group, sequence, offset } of records) {
      const { names } = this.setup.partition.state;
      const bytes = Buffer.from(group);
      const row = rows.find(names.find(bytes, 0, bytes.length) + 1);
      const behind = row >= 0 && (rows.flags(row) & FLAG_BEHIND) !== 0;
      const settled = row >= 0 ? sequence <= rows.settled(row) : false;
      const sent = this.#sent(this.#key(group));
      if (settled && sequence > sent) this.oracle.violate(`${which}: ${group}${sequence} settled by nobody`);
      if (offset >= floor || sequence <= sent) continue;
      if (!behind || rows.next(row) > offset) {
        this.oracle.violate(
          `${which}: ${group}${sequence} lies below the floor ${floor}, not settled, not behind`,
        );
      }
    }
  }
}

interface StoredRecord {
  readonly group: string;
  readonly offset: number;
  readonly sequence: number;
}

async function readAll({ partition }: Setup): Promise<StoredRecord[]> {
  const records: StoredRecord[] = [];
  for (let next = 0 as Offset; next < partition.highWatermark; ) {
    for (const group of GROUPS) {
      const stretch = await partition.read(next, 1_000_000, group);
      stretch.runLengths.forEach((length, run) => {
        for (let n = 0; n < length; n++) {
          const offset = (stretch.runOffsets[run] ?? 0) + n;
          records.push({ group, offset, sequence: (stretch.runSequences[run] ?? 0) + n });
        }
      });
    }
    break;
  }
  return records;
}

async function checkEnd(world: World, imageAt: number): Promise<void> {
  const { setup, oracle } = world;
  const { partition, shard } = setup;
  const applied = partition.state.subscriptions.get(1);
  oracle.checkOwed();
  assert.deepEqual(oracle.violations, []);
  const end = partition.highWatermark;
  const { floor, done, lost } = applied ?? {};
  assert.deepEqual({ floor, done, lost }, { floor: end, done: end, lost: 0 });
  for (const group of GROUPS) {
    const last = partition.group(group)?.lastSequence ?? 0;
    const model = oracle.group(group);
    assert.deepEqual({ group, sent: model.sent, seen: model.seen }, { group, sent: last, seen: last });
    for (let sequence = 1 + model.discarded; sequence <= last; sequence++)
      assert((model.deliveries[sequence] ?? 0) > 0, `${group}${sequence} was never delivered`);
  }
  const hash = partition.state.hash();
  assert.equal(replay(shard).hash(), hash);
  const cut = Math.min(imageAt, shard.committed);
  const restarted = new PartitionState({ names: () => groupNames(9), tailBytesMax: 10 });
  restarted.restore([...replay(shard, cut).image()]);
  restarted.apply(shard.log.slice(cut, shard.committed));
  assert.equal(restarted.hash(), hash);
}

/** What a model run counted. */
export interface ModelCounts {
  readonly acked: number;
  readonly failed: number;
  readonly resumed: number;
  readonly repeated: number;
  readonly rewound: number;
  readonly operated: number;
}

/** Runs the model so many times; rejects with fast-check's report of the smallest run that goes wrong. */
export async function runModel(options: {
  readonly runs: number;
  readonly seed?: number;
}): Promise<ModelCounts> {
  const one = fc.tuple(fc.nat(16), fc.nat(60), fc.nat(60));
  const counts = { acked: 0, failed: 0, resumed: 0, repeated: 0, rewound: 0, operated: 0 };
  const { runs: numRuns, seed } = options;
  await fc.assert(
    fc.asyncProperty(fc.array(one, { minLength: 30, maxLength: 200 }), fc.nat(40), async (steps, imageAt) => {
      const setup = await subscribed({ maxDeliveries: 3 }, LIMITS, {
        tailBytesMax: 60,
        entryBytesMax: 30,
      });
      const world = new World(setup);
      for (const consumer of world.consumers) void consumer.attach(setup.partition);
      await turn(setup);
      for (const step of steps) {
        world.step(step);
        await settle();
        if (step[1] % 4 === 0) await world.checkFloors();
        if (step[0] === 6 && step[2] % 4 === 0) await world.checkRest();
        assert.deepEqual(world.oracle.violations, []);
      }
      await world.drain();
      await world.checkFloors();
      await checkEnd(world, imageAt);
      setup.partition.close();
      for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += world.oracle[name];
    }),
    { numRuns, examples: EXAMPLES, ...(seed === undefined ? {} : { seed, endOnFailure: true }) },
  );
  return counts;
}
