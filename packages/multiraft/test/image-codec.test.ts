import type { Index, ReplicaId, Term } from '@seriatim/raft';
import { describe, expect, it } from 'vitest';
import { decodeImageFrame, encodeImageFrame, type ImageFrame } from '../src/image-codec.ts';
import type { ShardId } from '../src/ports.ts';

const id = (n: number): ReplicaId => n as ReplicaId;
const FRAMES: readonly ImageFrame[] = [
  {
    type: 'offer',
    transfer: 2 ** 52,
    shard: 7 as ShardId,
    from: id(1),
    to: id(2),
    term: 3 as Term,
    meta: {
      index: 400 as Index,
      term: 2 as Term,
      configuration: { voters: [id(1), id(2)], outgoing: [], learners: [id(9)], learnersNext: [] },
    },
  },
  { type: 'chunk', transfer: 5, number: 3, chunk: Uint8Array.from([1, 2, 3]) },
  { type: 'records', transfer: 5, number: 4, chunk: Uint8Array.from([4, 5]) },
  { type: 'end', transfer: 5, count: 4 },
  { type: 'acknowledged', transfer: 5, count: 4 },
  { type: 'inquiry', transfer: 5, count: 4 },
  { type: 'result', transfer: 5, ok: true },
];
const bytesOf = (frame: ImageFrame): Uint8Array => new Uint8Array(Buffer.concat(encodeImageFrame(frame)));

describe('frames of images', () => {
  it('give back what was written', () => {
    for (const frame of FRAMES) expect(decodeImageFrame(bytesOf(frame))).toEqual({ type: 'image', frame });
  });

  it('are refused when they are cut, of another version or of an unknown type', () => {
    for (const frame of FRAMES) {
      const bytes = bytesOf(frame);
      expect(decodeImageFrame(bytes.subarray(0, bytes.length - 1)).type).toBe('garbage');
    }
    expect(decodeImageFrame(Uint8Array.from([2, 9, 1])).type).toBe('garbage');
    expect(decodeImageFrame(Uint8Array.from([2, 1, 9, 0])).type).toBe('garbage');
  });

  it('are refused when a chunk does not have its checksum', () => {
    const bytes = bytesOf({ type: 'chunk', transfer: 5, number: 3, chunk: new Uint8Array(100) });
    bytes[60] = 1;
    expect(decodeImageFrame(bytes)).toMatchObject({
      type: 'garbage',
      reason: expect.stringMatching(/checksum/),
    });
  });
});
