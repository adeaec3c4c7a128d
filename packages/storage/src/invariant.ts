/** Ends what is under way when the program itself is wrong (a bug, never input): see STYLE, errors. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`invariant: ${message}`);
}
