import type { ClientClock } from './ports.ts';

/** A word that no other process has: 32 hexadecimal digits. */
export function randomWord(clock: ClientClock): string {
  const parts = [0, 1, 2, 3].map(() => Math.floor(clock.random() * 0x1_0000_0000));
  return parts.map((part) => part.toString(16).padStart(8, '0')).join('');
}
