import type { StateMachine } from '@seriatim/multiraft';
import type { Entry } from '@seriatim/raft';

const chunkBytesMax = 60 * 1024;

/** The simplest state worth losing: numbers with texts. A command is one pair as JSON. */
export class ToyMachine implements StateMachine {
  readonly pairs = new Map<number, string>();

  static command(key: number, value: string): Uint8Array {
    return Buffer.from(JSON.stringify([key, value]));
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.type !== 'command') continue;
      const [key, value] = JSON.parse(Buffer.from(entry.data).toString()) as [number, string];
      this.pairs.set(key, value);
    }
  }

  *image(): Iterable<Uint8Array> {
    let lines: string[] = [];
    let bytes = 0;
    for (const pair of this.pairs) {
      const line = JSON.stringify(pair);
      if (bytes + line.length > chunkBytesMax) {
        yield Buffer.from(lines.join('\n'));
        lines = [];
        bytes = 0;
      }
      lines.push(line);
      bytes += line.length + 1;
    }
    if (lines.length > 0) yield Buffer.from(lines.join('\n'));
  }

  restore(chunks: Iterable<Uint8Array>): void {
    this.pairs.clear();
    for (const chunk of chunks) {
      for (const line of Buffer.from(chunk).toString().split('\n')) {
        const [key, value] = JSON.parse(line) as [number, string];
        this.pairs.set(key, value);
      }
    }
  }

  describe(): null {
    return null;
  }

  onLeadership(): void {}
}
