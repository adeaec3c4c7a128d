/** One partition over real Raft on three simulated nodes, and producers that work on it while nodes fall and rise. */
import {
  type Clock,
  defaultHostConfig,
  MultiRaft,
  type NodeId,
  type ShardId,
  type StateMachine,
} from '@seriatim/multiraft';
import type { Configuration, Entry, Index, ReplicaId } from '@seriatim/raft';
import { SimulatedNetwork } from '../../../testkit/src/simulation/network.ts';
import { PlainDisk, PlainLogStore } from '../../../testkit/src/simulation/plain-log-store.ts';
import { Random } from '../../../testkit/src/simulation/random.ts';
import { Scheduler } from '../../../testkit/src/simulation/scheduler.ts';
import { SimulatedProcess } from '../../../testkit/src/simulation/simulated-process.ts';
import { type AppendAnswer, RUN_REFUSED, RUN_UNKNOWN, type TopicId } from '../../src/contracts.ts';
import { AppendHeader } from '../../src/partition/append-header.ts';
import { COMMAND_APPEND, commandKind } from '../../src/partition/command.ts';
import { defaultPartitionConfig } from '../../src/partition/config.ts';
import { type OpenPartition, openPartition } from '../../src/partition/open-partition.ts';
import { batch, contents } from './batches.ts';
import { FakeDefinitions } from './fake-definitions.ts';
import { FakeSource } from './fake-source.ts';

const SHARD = 10 as ShardId;
const NODES = [1, 2, 3] as NodeId[];
const CONFIGURATION: Configuration = {
  voters: NODES.map((node) => node as number as ReplicaId),
  outgoing: [],
  learners: [],
  learnersNext: [],
};
const FINAL = [
  'SEQUENCE_GAP',
  'WRITER_UNKNOWN',
  'PRODUCER_FENCED',
  'STALE_ROUTE',
  'INVALID_REQUEST',
  'INTERNAL',
];

interface RunningNode {
  readonly process: SimulatedProcess;
  readonly clock: Clock;
  readonly partition: OpenPartition;
}

/** One stored message, as some replica applied it. */
interface Stored {
  readonly content: string;
  readonly sequence: number;
}

export class RaftPartition {
  readonly scheduler: Scheduler = new Scheduler();
  readonly network: SimulatedNetwork;
  readonly nodes: Map<NodeId, RunningNode> = new Map();
  /** By offset: what any replica applied there. */
  readonly stored: Stored[] = [];
  readonly violations: string[] = [];
  acknowledged = 0;
  duplicates = 0;
  readonly #random: Random;
  readonly #disks = new Map<NodeId, PlainDisk>();
  #boots = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.network = new SimulatedNetwork(this.scheduler, this.#random.fork('network'));
    for (const node of NODES) this.network.introduce(node);
  }

  async start(node: NodeId): Promise<void> {
    const process = new SimulatedProcess(this.scheduler, node * 1_000 + ++this.#boots, 1);
    const { clock } = process;
    const disk = this.#disks.get(node) ?? new PlainDisk();
    this.#disks.set(node, disk);
    const store = new PlainLogStore({
      clock,
      disk,
      flushMilliseconds: () => 2 + this.#random.next() * 3,
      checkpointEntries: 40,
      keptEntries: 10,
    });
    const host = new MultiRaft({
      node,
      clock,
      transport: this.network.attach(node, process),
      store,
      random: () => this.#random.next(),
      config: defaultHostConfig,
      onShardFault: (_shard, error) => this.violations.push(`node ${node}: ${error.stack}`),
    });
    const recovered = store.recovered().find(({ shard }) => shard === SHARD) ?? null;
    const partition = await openPartition({
      shard: SHARD,
      topic: 1 as TopicId,
      partition: 0,
      clock,
      source: new FakeSource(),
      retention: () => ({ retentionMilliseconds: 0, retentionBytes: 0 }),
      clockTrusted: () => true,
      definitions: new FakeDefinitions(),
      deadLetters: { write: () => Promise.resolve({ type: 'retry' }) },
      diskHasRoom: () => true,
      config: { ...defaultPartitionConfig, entriesInFlightMax: 4, entryBytesMax: 200 },
      openShard: (machine) =>
        host.open({
          shard: SHARD,
          replica: node as number as ReplicaId,
          stateMachine: this.#watched(machine),
          initial: CONFIGURATION,
          followersRead: false,
          locate: (replica) => replica as number as NodeId,
          recovered,
        }),
    });
    this.nodes.set(node, { process, clock, partition });
  }

  kill(node: NodeId): void {
    this.nodes.get(node)?.process.kill();
    this.network.detach(node);
    this.nodes.delete(node);
  }

  get leader(): NodeId | undefined {
    return [...this.nodes].find(([, { partition }]) => partition.leader?.leads === true)?.[0];
  }

  run(milliseconds: number): Promise<void> {
    return this.scheduler.run(this.scheduler.now + milliseconds);
  }

  /** A producer with one lane: sends a run, repeats it until it is settled, sends the next; until `until`. */
  produce(producer: number, group: string, until: number): void {
    let sequence = 1;
    let values = this.#values(producer, sequence);
    const next = (): void => {
      if (this.scheduler.now >= until) return;
      const node = this.nodes.get(this.leader ?? ((((producer + sequence) % 3) + 1) as NodeId));
      if (node === undefined) return void this.scheduler.after(20, 'world', null, next);
      const request = batch([{ group, sequence, values }], { id: producer, epoch: 1 });
      let told = false;
      const answered = (answer: AppendAnswer | null): void => {
        if (told) return;
        told = true;
        if (answer !== null && this.#settled(answer, group, values)) {
          sequence += values.length;
          values = this.#values(producer, sequence);
        }
        this.scheduler.after(1 + this.#random.next() * 20, 'world', null, next);
      };
      // An answer may get lost on its way: then the producer tries again after its own timeout.
      const lost = this.#random.chance(0.1);
      void node.partition.append(request, node.clock.now() + 300).then((answer) => lost || answered(answer));
      this.scheduler.after(500, 'world', null, () => answered(null));
    };
    this.scheduler.after(this.#random.next() * 10, 'world', null, next);
  }

  #values(producer: number, sequence: number): string[] {
    return Array.from({ length: 1 + this.#random.below(3) }, (_, n) => `:${producer}:${sequence + n}`);
  }

  /** True when the run is stored. */
  #settled(answer: AppendAnswer, group: string, values: readonly string[]): boolean {
    if (answer.type === 'refusal' || answer.status[0] === RUN_UNKNOWN || answer.status[0] === RUN_REFUSED) {
      const code = answer.type === 'refusal' ? answer.code : answer.errors[0]?.code;
      if (code === undefined || FINAL.includes(code))
        this.violations.push(`${group}${values[0]} got ${code}`);
      return false;
    }
    this.acknowledged += values.length;
    if (answer.status[0] === 1) this.duplicates++;
    values.forEach((value, at) => {
      const found = this.stored[(answer.firstOffset[0] ?? -1) + at];
      const sequence = (answer.firstSequence[0] ?? -1) + at;
      if (found?.content !== group + value || found.sequence !== sequence) {
        this.violations.push(`acknowledged ${group}${value} as ${sequence}, stored ${JSON.stringify(found)}`);
      }
    });
    return true;
  }

  /** Notes what a replica applies; two replicas must not differ. */
  #watched(machine: StateMachine): StateMachine {
    const header = new AppendHeader();
    const note = (entry: Entry): void => {
      if (entry.type !== 'command' || commandKind(entry.data) !== COMMAND_APPEND) return;
      header.read(entry.data);
      const found = contents([entry.data.subarray(header.bodyStart)]);
      let offset = header.baseOffset;
      for (let run = 0; run < header.runs; run++) {
        for (let at = 0; at < (header.count[run] ?? 0); at++, offset++) {
          const stored = { content: found.shift() ?? '', sequence: (header.firstSequence[run] ?? 0) + at };
          const before = this.stored[offset];
          if (before === undefined) this.stored[offset] = stored;
          else if (before.content !== stored.content) this.violations.push(`offset ${offset} differs`);
        }
      }
    };
    return {
      apply: (entries) => {
        entries.forEach(note);
        machine.apply(entries);
      },
      image: () => machine.image(),
      restore: (chunks) => machine.restore(chunks),
      describe: (entry) => machine.describe(entry),
      onLeadership: (leadership) => machine.onLeadership(leadership),
    };
  }

  /** Applied index of each replica that runs. */
  applied(): Index[] {
    return [...this.nodes.values()].map(({ partition }) => partition.state.appliedIndex as Index);
  }
}
