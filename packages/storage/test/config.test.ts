import { describe, expect, test } from 'vitest';
import { defaultStorageConfig, storageConfig } from '../src/config.ts';

describe('storageConfig', () => {
  test('adds what is missing and can not be changed afterwards', () => {
    const config = storageConfig({ segmentBytes: 1_000_000 });
    expect(config).toEqual({ ...defaultStorageConfig, segmentBytes: 1_000_000 });
    expect(Object.isFrozen(config)).toBe(true);
  });

  test('refuses a wrong value by its name', () => {
    expect(() => storageConfig({ segmentBytes: -1 })).toThrow(/segmentBytes is -1/);
    expect(() => storageConfig({ tailBytesMax: 1.5 })).toThrow(/tailBytesMax is 1.5/);
    expect(() => storageConfig({ journalFileBytes: 100 })).toThrow(
      /journalFileBytes is 100, it must be at least/,
    );
    expect(() => storageConfig({ freeBytesStop: 2 ** 40 })).toThrow(/freeBytesRefuse/);
  });
});
