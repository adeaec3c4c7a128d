/** Consumers as processes that share a subscription, and what they wrote into their logs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { HandledEntry } from '@seriatim/testkit';
import { repository } from './source-files.ts';

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

const NOTHING = { group: '', sequence: 0, epoch: 0, counter: 0, value: '' };
const program = join(repository, 'test', 'support', 'consumer-process.mjs');

/** See the head of this file. */
export class ConsumerFleet {
  /** Consumers that ended without being asked to. */
  readonly unexpectedEnds: string[] = [];
  readonly #options: FleetOptions;
  readonly #running = new Map<string, ChildProcess>();
  readonly #names: string[] = [];
  readonly #gone: HandledEntry[] = [];
  readonly #askedToEnd = new Set<string>();

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  get names(): readonly string[] {
    return [...this.#running.keys()];
  }

  /** Starts a consumer with a name that none had before. `freezeAt`: it stops itself (SIGSTOP) before it settles the message of that number, from 1. */
  start(freezeAt = 0): string {
    const name = `consumer-${this.#names.length + 1}`;
    this.#names.push(name);
    const options = { ...this.#options, name, freezeAt, log: this.#logOf(name) };
    const child = spawn(process.execPath, [program, JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.#running.set(name, child);
    child.once('exit', (code, signal) => {
      this.#running.delete(name);
      if (!this.#askedToEnd.has(name)) this.unexpectedEnds.push(`${name} ended by itself: ${code ?? signal}`);
    });
    return name;
  }

  /** It has settled something. */
  worked(name: string): boolean {
    return existsSync(this.#logOf(name)) && statSync(this.#logOf(name)).size > 0;
  }

  /** It has come to `freezeAt`. */
  froze(name: string): boolean {
    return existsSync(`${this.#logOf(name)}.frozen`);
  }

  /** Sends a signal to one of them. */
  signal(name: string, signal: NodeJS.Signals): void {
    this.#running.get(name)?.kill(signal);
  }

  /** kill -9 of one of them. */
  async kill(name: string): Promise<void> {
    await this.#end(name, 'SIGKILL');
    this.#gone.push({ ...NOTHING, at: Date.now(), what: 'gone', consumer: name });
  }

  /** Asks all of them to end and waits for it. */
  async stopAll(): Promise<void> {
    await Promise.all(this.names.map((name) => this.#end(name, 'SIGTERM')));
  }

  async killAll(): Promise<void> {
    await Promise.all(this.names.map((name) => this.#end(name, 'SIGKILL')));
  }

  /** Everything they wrote, by time. */
  entries(): HandledEntry[] {
    const entries = this.#names.flatMap((consumer) => {
      const file = this.#logOf(consumer);
      if (!existsSync(file)) return [];
      const lines = readFileSync(file, 'utf8').split('\n');
      // What lies behind the last line end was cut by a kill.
      return lines
        .slice(0, -1)
        .map((line) => ({ consumer, ...(JSON.parse(line) as Omit<HandledEntry, 'consumer'>) }));
    });
    return [...entries, ...this.#gone].sort((a, b) => a.at - b.at);
  }

  async #end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = this.#running.get(name);
    if (child === undefined) return;
    const ended = once(child, 'exit');
    this.#askedToEnd.add(name);
    child.kill(signal);
    await ended;
  }

  #logOf(name: string): string {
    return join(this.#options.directory, `${this.#options.subscription}-${name}.log`);
  }
}
