// The command line as a function, for tests and other programs.

export { run } from './program.ts';
export type { Terminal } from './terminal.ts';
