import type { NodeId, PeerTransport } from '@seriatim/multiraft';
import { describe, expect, test } from 'vitest';
import { FRAME_TIME, PeerClocks } from '../../src/node/peer-clocks.ts';
import { ManualClock } from './manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const sent: { to: number; frame: Buffer }[] = [];
  let hear: Parameters<PeerTransport['onFrame']>[0] = () => undefined;
  const transport: PeerTransport = {
    send: (to, _channel, parts) => {
      sent.push({ to, frame: Buffer.concat(parts) });
      return true;
    },
    onFrame: (handler) => {
      hear = handler;
    },
    onPeerState: () => undefined,
    drain: (drained) => drained(),
  };
  const clocks = new PeerClocks(transport, clock, () => [2, 3] as NodeId[]);
  const says = (from: number, ahead: number): void => {
    const frame = Buffer.alloc(9);
    frame.writeUInt8(FRAME_TIME, 0);
    frame.writeDoubleLE(clock.wallTime() + ahead, 1);
    hear(from as NodeId, 'control', frame);
  };
  return { clock, clocks, sent, says };
}

describe('the clocks of the nodes', () => {
  test('are told to every peer now and again', () => {
    const { clock, clocks, sent } = setUp();
    clocks.start();
    clock.advance(10_000);
    clocks.stop();
    clock.advance(10_000);
    expect(sent.map(({ to }) => to)).toEqual([2, 3, 2, 3, 2, 3]);
    expect(sent[2]?.frame.readDoubleLE(1)).toBe(5_000);
  });

  test('distrust this one only when it is far from the median', () => {
    const { clocks, says } = setUp();
    expect(clocks.trusted()).toBe(true);
    says(2, 3_600_000);
    says(3, 40);
    expect(clocks.skewMilliseconds()).toBe(40);
    expect(clocks.trusted()).toBe(true);
    says(3, 3_600_100);
    expect(clocks.skewMilliseconds()).toBe(3_600_000);
    expect(clocks.trusted()).toBe(false);
  });

  test('forget what was said long ago', () => {
    const { clock, clocks, says } = setUp();
    says(2, -60_000);
    says(3, -60_000);
    expect(clocks.trusted()).toBe(false);
    clock.advance(30_000);
    expect(clocks.trusted()).toBe(true);
  });
});
