import type { ClientClock } from './ports.ts';

/** What setTimeout takes; more would be 1 ms. */
const TIMER_MILLISECONDS_MAX = 2_147_483_647;

/** The process's own time and chance. */
export const systemClock: ClientClock = {
  now: () => performance.now(),
  random: () => Math.random(),
  schedule: (milliseconds, task) => {
    const timer = setTimeout(task, Math.min(milliseconds, TIMER_MILLISECONDS_MAX));
    return () => clearTimeout(timer);
  },
  soon: (task) => {
    setImmediate(task);
  },
};
