/** Consumers as processes that share a subscription, and what their logs say about order, loss and holds. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './source-files.ts';

/** One line of a consumer's log. */
export interface LogEntry {
  /** Milliseconds since 1970; all processes share the machine's clock. */
  readonly at: number;
  readonly what: 'ack' | 'nack' | 'refused' | 'lost';
  readonly consumer: string;
  readonly group: string;
  readonly sequence: number;
  readonly attempt: number;
  readonly epoch: number;
  readonly counter: number;
  readonly value: string;
  readonly code: string;
}

/** What all consumers of a fleet do. */
export interface FleetOptions {
  readonly endpoints: readonly string[];
  readonly topic: string;
  readonly subscription: string;
  /** Where logs are written. */
  readonly directory: string;
  /** Part of the messages that fail at first. */
  readonly nackPart?: number;
  /** Time that each message takes, milliseconds. */
  readonly workMilliseconds?: number;
}

const program = join(repository, 'test', 'support', 'consumer-process.mjs');

/** See the head of this file. */
export class ConsumerFleet {
  readonly #options: FleetOptions;
  readonly #running = new Map<string, ChildProcess>();
  readonly #names: string[] = [];

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  get names(): readonly string[] {
    return [...this.#running.keys()];
  }

  /** Starts a consumer with a name that none had before. */
  start(): string {
    const name = `consumer-${this.#names.length + 1}`;
    this.#names.push(name);
    const options = { ...this.#options, name, log: this.#logOf(name) };
    const child = spawn(process.execPath, [program, JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.#running.set(name, child);
    child.once('exit', () => this.#running.delete(name));
    return name;
  }

  /** Sends a signal to one of them. */
  signal(name: string, signal: NodeJS.Signals): void {
    this.#running.get(name)?.kill(signal);
  }

  /** kill -9 of one of them. */
  async kill(name: string): Promise<void> {
    await this.#end(name, 'SIGKILL');
  }

  /** Asks all of them to end and waits for it. */
  async stopAll(): Promise<void> {
    await Promise.all(this.names.map((name) => this.#end(name, 'SIGTERM')));
  }

  async killAll(): Promise<void> {
    await Promise.all(this.names.map((name) => this.#end(name, 'SIGKILL')));
  }

  /** Everything they wrote, by time. */
  entries(): LogEntry[] {
    const entries = this.#names.flatMap((consumer) => {
      const file = this.#logOf(consumer);
      if (!existsSync(file)) return [];
      const lines = readFileSync(file, 'utf8').split('\n');
      // What lies behind the last line end was cut by a kill.
      return lines
        .slice(0, -1)
        .map((line) => ({ consumer, ...(JSON.parse(line) as Omit<LogEntry, 'consumer'>) }));
    });
    return entries.sort((a, b) => a.at - b.at);
  }

  async #end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.#running.get(name);
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  #logOf(name: string): string {
    return join(this.#options.directory, `${this.#options.subscription}-${name}.log`);
  }
}

/** What was found in the logs of a subscription that is done. */
export interface HandledReport {
  readonly violations: readonly string[];
  readonly acked: number;
  readonly nacked: number;
  /** Acknowledgements of what had been acknowledged before. */
  readonly repeated: number;
  readonly refused: number;
  readonly tokens: number;
}

/**
 * Holds the logs against the input (values by group, in order). Along rising tokens each group is handled in order, without a gap and to
 * the end, with the values of the input; and none settles under a token when a higher one was seen before, unless it is refused.
 */
export function checkHandled(
  entries: readonly LogEntry[],
  input: ReadonlyMap<string, readonly string[]>,
): HandledReport {
  const violations: string[] = [];
  const groups = new Map<string, LogEntry[]>();
  let refused = 0;
  for (const entry of entries) {
    if (entry.what === 'refused') refused++;
    if (entry.what !== 'ack' && entry.what !== 'nack') continue;
    const own = groups.get(entry.group);
    if (own === undefined) groups.set(entry.group, [entry]);
    else own.push(entry);
  }
  const counts = { acked: 0, nacked: 0, repeated: 0, tokens: 0 };
  for (const [group, values] of input) {
    const own = groups.get(group) ?? [];
    checkTokens(own, entries, violations);
    checkOrder(group, own, values, violations, counts);
  }
  return { violations, refused, ...counts };
}

function checkOrder(
  group: string,
  own: readonly LogEntry[],
  values: readonly string[],
  violations: string[],
  counts: { acked: number; nacked: number; repeated: number; tokens: number },
): void {
  let done = 0;
  let before: LogEntry | null = null;
  for (const entry of [...own].sort(byToken)) {
    const { sequence, what, epoch, counter } = entry;
    const at = `${group} #${sequence} with ${epoch}/${counter} at ${entry.consumer}`;
    const sameHold = before !== null && before.epoch === epoch && before.counter === counter;
    if (!sameHold) counts.tokens++;
    if (sequence > done + 1) violations.push(`${at} handled although only ${done} was acknowledged`);
    if (sameHold && before !== null && sequence <= before.sequence)
      violations.push(`${at} handled behind ${before.sequence}`);
    if (entry.value !== values[sequence - 1]) violations.push(`${at} has another value than the input`);
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

/** Settling with a token when a higher one had been seen: only if it was refused, or never reached the broker. */
function checkTokens(own: readonly LogEntry[], all: readonly LogEntry[], violations: string[]): void {
  let highest: LogEntry | null = null;
  for (const entry of own) {
    // Two processes in one millisecond: which came first is not known.
    if (highest !== null && byToken(entry, highest) < 0 && entry.at > highest.at) {
      const { group, consumer, sequence } = entry;
      const told = all.some(
        (other) =>
          other.consumer === consumer &&
          other.group === group &&
          other.what !== 'ack' &&
          other.at >= entry.at,
      );
      if (!told)
        violations.push(
          `${group} #${sequence} settled by ${consumer} although ${highest.consumer} had a higher token`,
        );
    }
    if (highest === null || byToken(entry, highest) > 0) highest = entry;
  }
}

function byToken(a: LogEntry, b: LogEntry): number {
  return a.epoch - b.epoch || a.counter - b.counter || (a.consumer === b.consumer ? a.at - b.at : 0);
}
