import type { ClientClock } from './ports.ts';

/** The process's own time and chance. */
export const systemClock: ClientClock = {
  now: () => performance.now(),
  random: () => Math.random(),
  schedule: (milliseconds, task) => {
    const timer = setTimeout(task, milliseconds);
    return () => clearTimeout(timer);
  },
  soon: (task) => {
    setImmediate(task);
  },
};
