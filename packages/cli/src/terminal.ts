import type { Writable } from 'node:stream';
import Table from 'cli-table3';

/** Where a command's output goes: results to stdout, everything else to stderr. */
export interface Terminal {
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls `task` when the user interrupts, instead of ending the process; the returned function calls it off. */
  readonly onInterrupt?: ((task: () => void) => () => void) | undefined;
}

/** Writes and waits where the receiver is slower. Rejects with EPIPE when it has gone. */
export function write(stream: Writable, text: string): Promise<void> | undefined {
  if (stream.destroyed || stream.errored !== null) throw new BrokenPipe();
  if (stream.write(text)) return undefined;
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      stream.off('drain', settle);
      stream.off('error', fail);
      stream.off('close', fail);
      resolve();
    };
    const fail = (): void => {
      stream.off('drain', settle);
      reject(new BrokenPipe());
    };
    stream.once('drain', settle);
    stream.once('error', fail);
    stream.once('close', fail);
  });
}

/** Nobody reads the output any more, as with `seriatim read … | head`: not a failure. */
export class BrokenPipe extends Error {}

/** One JSON value as one line. */
export function writeJson(terminal: Terminal, value: unknown): Promise<void> | undefined {
  return write(terminal.stdout, `${JSON.stringify(value)}\n`);
}

/** A table for people. */
export async function writeTable(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): Promise<void> {
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  for (const row of rows) table.push([...row]);
  await write(terminal.stdout, `${table.toString()}\n`);
}

/** A line on stderr. */
export function note(terminal: Terminal, text: string): void {
  terminal.stderr.write(`${text}\n`);
}

/** A line on stderr that shows how far something is: rewritten in place on a terminal, else every five seconds. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #pause: number;
  #shownAt: number;
  #shown = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#pause = terminal.stderr.isTTY === true ? 250 : 5000;
    this.#shownAt = performance.now();
  }

  /** `text` is called only when it is shown. */
  show(text: () => string): void {
    const now = performance.now();
    if (now - this.#shownAt < this.#pause) return;
    this.#shownAt = now;
    this.#shown = true;
    const tty = this.#terminal.stderr.isTTY === true;
    this.#terminal.stderr.write(tty ? `\r${text()}\u001b[K` : `${text()}\n`);
  }

  end(): void {
    if (this.#shown && this.#terminal.stderr.isTTY === true) this.#terminal.stderr.write('\r\u001b[K');
  }
}
