import { describe, expect, test } from 'vitest';
import * as library from '../src/index.ts';
import { logMistakes } from './mistakes-log.ts';
import { timeMistakes } from './mistakes-time.ts';
import { loadMutant } from './mutants.ts';

const mistakes = [...logMistakes, ...timeMistakes].sort((a, b) => a.number - b.number);

test('all sixteen mistakes are looked at', () => {
  expect(mistakes.map((mistake) => mistake.number)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
});

describe.each(mistakes)('mistake $number: $title', ({ check, mutants }) => {
  test('is not made', () => {
    check(library);
  });

  test.each(mutants)('is noticed when put back: $file, $find', async (mutant) => {
    const broken = await loadMutant(mutant);
    expect(() => check(broken)).toThrow();
  });
});
