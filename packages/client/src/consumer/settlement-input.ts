/** What an application says about a message, checked where it says it: a broker ends the whole stream over a row that is out of range. */
import { Buffer } from 'node:buffer';
import { HOLD_MILLISECONDS_MAX, NACK_BACKOFF, NACK_DELAY_MILLISECONDS_MAX } from '@seriatim/protocol';
import { SeriatimError } from '../error.ts';

/** Bytes of UTF-8 that a broker keeps of a reason. */
const REASON_BYTES_MAX = 1_024;

/** Milliseconds of a nack. Throws INVALID_ARGUMENT. */
export function nackDelay(delay: number | undefined): number {
  return delay === undefined ? NACK_BACKOFF : whole('delay', delay, NACK_DELAY_MILLISECONDS_MAX);
}

/** Milliseconds of an extension. Throws INVALID_ARGUMENT. */
export function extension(milliseconds: number): number {
  return whole('milliseconds', milliseconds, HOLD_MILLISECONDS_MAX);
}

/** Any value as a reason, cut between characters. Never throws. */
export function reasonOf(value: unknown): string {
  const text = textOf(value);
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= REASON_BYTES_MAX) return text;
  let end = REASON_BYTES_MAX;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

function textOf(value: unknown): string {
  try {
    return String(value instanceof Error ? value.message : value);
  } catch {
    return 'a value that has no text';
  }
}

function whole(name: string, value: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= most) return value;
  const what = typeof value === 'number' ? value : typeof value;
  throw new SeriatimError('INVALID_ARGUMENT', `${name}: ${what} is not a whole number from 0 to ${most}`);
}
