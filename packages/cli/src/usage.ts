import { type Command, InvalidArgumentError } from 'commander';

/** Wrong usage that commander does not see: exit code 2. */
export class UsageError extends Error {}

/** Options that every command has. */
export interface CommonOptions {
  readonly endpoints: readonly string[];
  readonly json: boolean;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Where `npm start` has its nodes. */
export const DEFAULT_ENDPOINTS = '127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103';

/** A whole number within bounds, for commander. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`${text} is not a whole number from ${least} to ${most}.`);
  };
}

/** Longest time in milliseconds that timers of this platform wait: a longer one would end at once. */
const DURATION_MAX = 2 ** 31 - 1;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/** A time as people write it, `500ms`, `2s` or `1m`, in milliseconds; for commander. */
export function duration(text: string): number {
  const [, number, unit = 'ms'] = /^(\d{1,9})(ms|s|m)?$/.exec(text) ?? [];
  const milliseconds = number === undefined ? 0 : Number(number) * (UNITS[unit] as number);
  if (milliseconds > DURATION_MAX) {
    throw new InvalidArgumentError(`${text} is longer than ${DURATION_MAX} ms, about 24 days.`);
  }
  if (milliseconds > 0) return milliseconds;
  throw new InvalidArgumentError(`${text} is not a time such as 500ms, 2s or 1m.`);
}

function endpointList(text: string): readonly string[] {
  const list = text.split(',').map((one) => one.trim());
  const bad = list.find((one) => !/^.+:\d{1,5}$/.test(one));
  if (bad !== undefined) throw new InvalidArgumentError(`"${bad}" is not host:port.`);
  return list;
}

/** Adds the options that every command has. `SERIATIM_ENDPOINTS` stands behind the flag. */
export function withCommonOptions(
  command: Command,
  env: Readonly<Record<string, string | undefined>>,
): Command {
  const given = env['SERIATIM_ENDPOINTS'];
  const endpoints = endpointList(given === undefined || given === '' ? DEFAULT_ENDPOINTS : given);
  return command
    .option('--endpoints <host:port,…>', 'nodes to connect to (SERIATIM_ENDPOINTS)', endpointList, endpoints)
    .option(
      '--timeout <ms>',
      'give up after that many milliseconds, retries included',
      wholeNumber(1, DURATION_MAX),
      30_000,
    )
    .option('--json', 'machine-readable output on stdout', false);
}
