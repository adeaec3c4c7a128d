/**
 * The client library with its retries against the broker's own code above its ports, in virtual time: every message stored once, in order, with
 * the receipt that its producer was given, whatever answers were cut off and whoever led or was restarted in between.
 */
import { Random } from '../simulation/random.ts';
import { Scheduler } from '../simulation/scheduler.ts';
import { Rounds } from './rounds.ts';
import { SimulatedBrokers } from './simulated-brokers.ts';
import { readLog, type StoredMessage } from './stored-messages.ts';

/** Virtual time between two looks at whether it is over. */
const STEP_MILLISECONDS = 60_000;
/** Virtual time that one round may take: longer means that something is stuck. */
const ROUND_MILLISECONDS_MAX: number = 24 * 60 * 60 * 1000;

/** What to simulate. */
export interface ProducerSimulationOptions {
  readonly seed: number;
  readonly rounds: number;
}

/** What happened. */
export interface ProducerSimulationResult {
  readonly acknowledged: number;
  /** Receipts of messages that an earlier attempt had stored. */
  readonly duplicates: number;
  readonly answersCut: number;
  readonly lateRequests: number;
  readonly leaderChanges: number;
  readonly restarts: number;
  readonly takeovers: number;
  readonly conflicts: number;
  readonly simulatedMilliseconds: number;
  /** The same for the same seed. */
  readonly trace: string;
  /** Everything that is wrong; empty: nothing. */
  readonly violations: readonly string[];
}

/** Runs one seed. */
export async function simulateProducers(
  options: ProducerSimulationOptions,
): Promise<ProducerSimulationResult> {
  const scheduler = new Scheduler();
  const random = new Random(`producers/${options.seed}`);
  const brokers = new SimulatedBrokers(scheduler, random);
  await brokers.start();
  const rounds = new Rounds(scheduler, random, brokers);
  const violations: string[] = [];
  try {
    for (let round = 0; round < options.rounds; round += 1) await settle(scheduler, rounds.round());
    await settle(scheduler, rounds.end());
    await scheduler.run(scheduler.now + STEP_MILLISECONDS);
    violations.push(...(await judge(brokers, rounds)));
  } catch (error) {
    violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const { acknowledged } = rounds.history.verdict();
  return {
    acknowledged,
    duplicates: rounds.duplicates,
    answersCut: rounds.cutOff.answers,
    lateRequests: rounds.cutOff.late,
    leaderChanges: brokers.leaderChanges,
    restarts: brokers.restarts,
    takeovers: rounds.takeovers.length,
    conflicts: rounds.conflicts,
    simulatedMilliseconds: scheduler.now,
    trace: scheduler.trace,
    violations: [...violations, ...rounds.faults],
  };
}

async function settle(scheduler: Scheduler, work: Promise<void>): Promise<void> {
  let over = false;
  let failure: unknown = null;
  work.then(
    () => {
      over = true;
      scheduler.stop();
    },
    (error: unknown) => {
      over = true;
      failure = error;
      scheduler.stop();
    },
  );
  const end = scheduler.now + ROUND_MILLISECONDS_MAX;
  while (!over) {
    if (scheduler.now > end) throw new Error(`a round is not over after ${ROUND_MILLISECONDS_MAX} ms`);
    await scheduler.run(scheduler.now + STEP_MILLISECONDS);
  }
  if (failure !== null) throw failure;
}

async function judge(brokers: SimulatedBrokers, rounds: Rounds): Promise<string[]> {
  const found: string[] = [];
  const stored: StoredMessage[] = [];
  for (const { shard, partition } of brokers.topic.partitions) {
    const log = brokers.logs.get(shard);
    if (log === undefined) continue;
    const { messages, hash } = await readLog(log, brokers.topic, partition);
    stored.push(...messages);
    for (const { group, value: id, ...place } of messages) rounds.history.read({ group, id, ...place });
    for (const node of brokers.nodes.values()) {
      const { state } = node.partitions.get(shard) ?? {};
      if (state === undefined || state.appliedIndex !== log.committed) continue;
      if (state.hash() !== hash) found.push(`node ${node.node} has another state of partition ${partition}`);
    }
  }
  const verdict = rounds.history.verdict();
  for (const kind of ['lost', 'duplicated', 'outOfOrder', 'gaps', 'phantom', 'changed'] as const) {
    for (const { group, id, detail } of verdict[kind]) found.push(`${kind}: ${group}/${id}: ${detail}`);
  }
  return [...found, ...judgeTakeovers(stored, rounds)];
}

/** What a newer instance was told stays true: in the end as many messages of older instances are there, and none behind. */
function judgeTakeovers(stored: readonly StoredMessage[], rounds: Rounds): string[] {
  const found: string[] = [];
  for (const { instance, group, told } of rounds.takeovers) {
    const instances = stored
      .filter((message) => message.group === group && message.value.startsWith('named-'))
      .sort((a, b) => a.sequence - b.sequence)
      .map(({ value }) => Number(value.slice('named-'.length, value.indexOf(':'))));
    const older = instances.filter((one) => one < instance).length;
    const first = instances.findIndex((one) => one >= instance);
    if (older === told && (first < 0 || first >= told)) continue;
    found.push(
      `takeover ${instance} of ${group} was told ${told}; older instances have ${older}, it begins at ${first}`,
    );
  }
  return found;
}
