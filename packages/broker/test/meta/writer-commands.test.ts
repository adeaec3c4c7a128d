import type { Index } from '@seriatim/raft';
import { describe, expect, it } from 'vitest';
import { decodeCommand, encodeCommand } from '../../src/meta/command-codec.ts';
import { executeCommand } from '../../src/meta/execute.ts';
import { readImage, writeImage } from '../../src/meta/image.ts';
import { MetaTables } from '../../src/meta/meta-tables.ts';
import { type MetaCommand, type MetaResult, NAMED_WRITERS_MAX } from '../../src/meta/model.ts';
import { decodeApplied, encodeApplied } from '../../src/meta/result-codec.ts';

const apply = (tables: MetaTables, command: MetaCommand): MetaResult =>
  executeCommand(tables, decodeCommand(encodeCommand(command)), 1 as Index);
const open = (tables: MetaTables, name: string, instance: string, previousEpoch = 0): MetaResult =>
  apply(tables, { type: 'openWriter', name, instance, previousEpoch });

describe('names of producers', () => {
  it('give the same id for ever and each opening the next epoch, the same request only one', () => {
    const tables = new MetaTables();
    apply(tables, { type: 'reserveProducerIds', count: 10 });
    const opened = { type: 'writer', producerId: 11, opened: true };
    expect(open(tables, 'billing', 'x')).toEqual({ ...opened, epoch: 1 });
    expect(open(tables, 'billing', 'x')).toEqual({ ...opened, epoch: 1 });
    expect(open(tables, 'billing', 'y', 1)).toEqual({ ...opened, epoch: 2 });
    expect(open(tables, 'other', 'z')).toEqual({ ...opened, producerId: 12, epoch: 1 });
    expect(apply(tables, { type: 'reserveProducerIds', count: 1 })).toMatchObject({ first: 13 });
  });

  it('are not opened by a request that arrives after another one: it would fence the newer instance', () => {
    const tables = new MetaTables();
    open(tables, 'billing', 'x');
    open(tables, 'billing', 'y', 1);
    for (const previous of [0, 1]) {
      expect(open(tables, 'billing', 'x', previous)).toEqual({
        type: 'writer',
        producerId: 1,
        epoch: 2,
        opened: false,
      });
    }
    expect(open(tables, 'never', 'x', 4)).toMatchObject({ epoch: 0, opened: false });
    expect(tables.writers.get('billing')).toMatchObject({ epoch: 2, instance: 'y' });
  });

  it('are in the image, and answers travel between nodes', () => {
    const tables = new MetaTables();
    const result = open(tables, 'billing', 'x');
    const restored = readImage(writeImage(tables, 5 as Index)).tables;
    expect(restored.writers.get('billing')).toEqual({ producerId: 1, epoch: 1, instance: 'x' });
    expect(decodeApplied(encodeApplied({ index: 5 as Index, result })).result).toEqual(result);
  });

  it('are limited, because a name that was forgotten could not be fenced', () => {
    const tables = new MetaTables();
    for (let at = 0; at < NAMED_WRITERS_MAX; at++) {
      tables.writers.set(`n${at}`, { producerId: at + 1, epoch: 1, instance: '' });
    }
    expect(open(tables, 'one more', 'x')).toMatchObject({ type: 'refused', code: 'INVALID_PRODUCER_NAME' });
    expect(open(tables, 'n5', 'x', 1)).toMatchObject({ type: 'writer', producerId: 6, epoch: 2 });
  });
});
