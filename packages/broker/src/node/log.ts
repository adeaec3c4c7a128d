/** The log of a node: one JSON line on stderr for each event worth knowing. */
import { destination, type Logger, pino } from 'pino';

/** Opens the log. Lines are written at once, so that the last ones before a crash are there. */
export function openLog(level: string, node: number): Logger {
  return pino(
    { level, base: { node }, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    destination({ dest: 2, sync: true }),
  );
}

export type { Logger } from 'pino';
