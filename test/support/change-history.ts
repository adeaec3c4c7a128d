import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** One line of input: its group, its dense position in the group from 1, and its bytes as text. */
export interface Change {
  readonly group: string;
  readonly seq: number;
  readonly line: string;
}

/** A small generator of random numbers in [0, 1) (mulberry32), so that a run can be repeated. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * A made-up history of file changes with the shape of a real repository's: a few files change hundreds of times, most a
 * handful of times, lines of about 225 bytes, groups interleaved. The same for the same arguments.
 */
export function syntheticChanges(lines: number, groups: number, seed = 1): Change[] {
  const random = seededRandom(seed);
  const last = new Map<string, number>();
  return Array.from({ length: lines }, (_, number) => {
    // Cubing favours low numbers: the first tenth of the files gets almost half of the changes.
    const file = Math.floor(groups * random() ** 3);
    const group = `packages/room-${file % 17}/src/päge-${file}.ts`;
    const seq = (last.get(group) ?? 0) + 1;
    last.set(group, seq);
    const subject = `change ${number} ${'of a file '.repeat(1 + Math.floor(random() * 8))}`.slice(0, 100);
    const content = Math.floor(random() * 2 ** 40).toString(16);
    const change = seq === 1 ? 'A' : 'M';
    return {
      group,
      seq,
      line: JSON.stringify({ group, seq, commit: content, change, after: content, subject }),
    };
  });
}

/** Reads NDJSON (`.gz` or plain) whose objects have `group` and `seq`. */
export function readChanges(file: string): Change[] {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { group, seq } = JSON.parse(line) as { group: string; seq: number };
      return { group, seq, line };
    });
}

/** The file that SERIATIM_REAL_INPUT names, or 20,000 made-up changes of 2,000 files. */
export function inputChanges(): Change[] {
  const file = process.env['SERIATIM_REAL_INPUT'];
  return file === undefined ? syntheticChanges(20_000, 2_000) : readChanges(file);
}
