import { type OrderedMessage, OrderedProducer, type SendResult } from '@seriatim/client';
import { linesOf, openLines } from './line-source.ts';
import { note, Progress, type Terminal, writeJson, writeTable } from './terminal.ts';
import type { CommonOptions } from './usage.ts';

/** Options of `produce`. */
export interface ProduceOptions extends CommonOptions {
  readonly file: string;
  readonly groupField: string;
}

interface Tally {
  sent: number;
  acknowledged: number;
  failed: number;
  duplicates: number;
  groups: number;
  seconds: number;
}

/** Lines of one call, and how much may be under way: enough for full requests, little enough for any machine. */
const LINES_PER_CALL = 512;
const BYTES_PER_CALL = 256 * 1024;
const CALLS_UNDER_WAY = 32;
const BYTES_UNDER_WAY = 8 * 1024 * 1024;
const FAILURES_SHOWN = 5;

/** `produce`: each line of a file becomes a message. Gives true when all of it is stored. */
export async function produce(terminal: Terminal, topic: string, options: ProduceOptions): Promise<boolean> {
  const producer = new OrderedProducer({
    endpoints: options.endpoints,
    timeoutMilliseconds: options.timeout,
  });
  const started = performance.now();
  const run = new FileProduce(terminal, producer, topic, options.groupField);
  const stream = openLines(options.file);
  let broken: unknown = null;
  try {
    await run.all(linesOf(stream));
  } catch (error) {
    broken = error;
    stream.destroy();
  }
  await run.settled();
  await producer.close();
  const { tally } = run;
  tally.seconds = Math.round(performance.now() - started) / 1000;
  if (options.json) await writeJson(terminal, tally);
  else await writeTable(terminal, Object.keys(tally), [Object.values(tally)]);
  if (broken !== null) throw broken;
  return tally.failed === 0;
}

class FileProduce {
  readonly tally: Tally = { sent: 0, acknowledged: 0, failed: 0, duplicates: 0, groups: 0, seconds: 0 };
  readonly #terminal: Terminal;
  readonly #producer: OrderedProducer;
  readonly #topic: string;
  readonly #groupField: string;
  readonly #groups = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #progress: Progress;
  #bytesUnderWay = 0;
  #failuresShown = 0;
  #refused: unknown = null;

  constructor(terminal: Terminal, producer: OrderedProducer, topic: string, groupField: string) {
    this.#terminal = terminal;
    this.#producer = producer;
    this.#topic = topic;
    this.#groupField = groupField;
    this.#progress = new Progress(terminal);
  }

  async all(lines: AsyncIterable<Buffer>): Promise<void> {
    let messages: OrderedMessage[] = [];
    let bytes = 0;
    let number = 0;
    for await (const value of lines) {
      messages.push({ messageGroup: this.#groupOf(value, ++number), value });
      bytes += value.length;
      if (messages.length < LINES_PER_CALL && bytes < BYTES_PER_CALL) continue;
      await this.#send(messages, bytes);
      messages = [];
      bytes = 0;
    }
    if (messages.length > 0) await this.#send(messages, bytes);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
    this.tally.groups = this.#groups.size;
    this.#progress.end();
    if (this.#refused !== null) throw this.#refused;
  }

  #groupOf(line: Buffer, number: number): string {
    let parsed: unknown;
    try {
      parsed = JSON.parse(line.toString('utf8'));
    } catch (error) {
      throw new Error(`line ${number} is not JSON: ${(error as Error).message}`);
    }
    const group = (parsed as Record<string, unknown> | null)?.[this.#groupField];
    if (typeof group === 'string' && group !== '') return group;
    throw new Error(`line ${number}: field "${this.#groupField}" is not a text of at least one character`);
  }

  async #send(messages: readonly OrderedMessage[], bytes: number): Promise<void> {
    while (
      this.#underWay.size >= CALLS_UNDER_WAY ||
      (this.#underWay.size > 0 && this.#bytesUnderWay + bytes > BYTES_UNDER_WAY)
    ) {
      await Promise.race(this.#underWay);
    }
    if (this.#refused !== null) throw this.#refused;
    for (const { messageGroup } of messages) this.#groups.add(messageGroup);
    this.tally.sent += messages.length;
    this.#bytesUnderWay += bytes;
    const call: Promise<void> = this.#producer
      .sendSettled(this.#topic, messages)
      .then(
        (result) => this.#count(result),
        (error: unknown) => {
          this.tally.failed += messages.length;
          this.#refused ??= error;
        },
      )
      .finally(() => {
        this.#bytesUnderWay -= bytes;
        this.#underWay.delete(call);
      });
    this.#underWay.add(call);
  }

  #count(result: SendResult): void {
    const { tally } = this;
    tally.acknowledged += result.stored;
    tally.duplicates += result.duplicates;
    tally.failed += result.failures.length;
    for (const { error } of result.failures) {
      if (this.#failuresShown++ >= FAILURES_SHOWN) break;
      note(this.#terminal, `failed: ${error.code} (${error.outcome}): ${error.message}`);
    }
    this.#progress.show(
      () => `${tally.acknowledged} of ${tally.sent} messages acknowledged, ${tally.failed} failed`,
    );
  }
}
