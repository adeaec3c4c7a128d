import { Scheduler, SimulatedProcess } from '@seriatim/testkit';
import { describe, expect, it } from 'vitest';
import type { PeerTransport } from '../src/ports.ts';
import { Pulse } from '../src/pulse.ts';

function setUp(): { scheduler: Scheduler; process: SimulatedProcess; log: string[]; pulse: Pulse } {
  const scheduler = new Scheduler();
  const process = new SimulatedProcess(scheduler, 1, 1);
  const log: string[] = [];
  const transport: PeerTransport = {
    send: () => true,
    onFrame: () => undefined,
    onPeerState: () => undefined,
    drain: (drained) => {
      log.push('drain');
      process.clock.after(10, drained);
    },
  };
  const pulse = new Pulse({
    clock: process.clock,
    transport,
    tickMilliseconds: 25,
    pauseMilliseconds: 250,
    onTicks: (count) => log.push(`${count}`),
    onPause: () => log.push('pause'),
  });
  return { scheduler, process, log, pulse };
}

describe('Pulse', () => {
  it('ticks once per interval', async () => {
    const { scheduler, log } = setUp();
    await scheduler.run(101);
    expect(log).toEqual(['1', '1', '1', '1']);
  });

  it('makes up for a small delay with several ticks', async () => {
    const { scheduler, process, log } = setUp();
    process.pause(110);
    await scheduler.run(130);
    expect(log).toEqual(['4', '1']);
  });

  it('takes a large delay for a pause: drains first, and the missed ticks are void', async () => {
    const { scheduler, process, log, pulse } = setUp();
    process.pause(1_000);
    await scheduler.run(1_005);
    expect(log).toEqual(['drain']);
    expect(pulse.mayHavePaused()).toBe(true);
    await scheduler.run(1_040);
    expect(log).toEqual(['drain', 'pause', '1']);
    expect(pulse.pauses).toEqual({ count: 1, lastMilliseconds: 975 });
    expect(pulse.mayHavePaused()).toBe(false);
  });

  it('knows of a pause before its timer runs', async () => {
    const { scheduler, process, pulse } = setUp();
    process.pause(1_000);
    await scheduler.run(999);
    expect(pulse.mayHavePaused()).toBe(true);
  });
});
