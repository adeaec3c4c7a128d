import { describe } from 'vitest';
import { runSeeds } from './support/seeds.ts';

describe('every guarantee under faults', () => {
  runSeeds(251, 500);
});
