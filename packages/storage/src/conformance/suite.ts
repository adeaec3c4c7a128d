/** What a conformance suite needs of a test runner, so that it binds to none. */
export interface Suite {
  /** Registers a test; its name is a sentence. */
  test(name: string, run: () => Promise<void>): void;
}
