/** Stops on a bug of our own. Never used for what a consumer, a peer or a disk may do: that is answered, not thrown. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`dispatch invariant violated: ${message}`);
}
