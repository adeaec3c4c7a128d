import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linesOf } from '../src/line-source.ts';

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function lines(bytes: Buffer, size: number): Promise<string[]> {
  const list: string[] = [];
  for await (const line of linesOf(pieces(bytes, size))) list.push(line.toString());
  return list;
}

describe('linesOf', () => {
  it('gives the same lines however the bytes are cut (fuzz)', async () => {
    const text = fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', ' ', '{') }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 9 }), fc.boolean(), async (list, size, ended) => {
        const bytes = Buffer.from(list.join('\n') + (ended ? '\n' : ''));
        expect(await lines(bytes, size)).toEqual(list.filter((line) => line !== ''));
      }),
    );
  });

  it('takes Windows line ends and refuses a line without end', async () => {
    expect(await lines(Buffer.from('a\r\nb\r\n'), 3)).toEqual(['a', 'b']);
    await expect(lines(Buffer.alloc(3 * 1024 * 1024, 0x61), 65_536)).rejects.toThrow(
      /more than 2097152 bytes/,
    );
  });
});
