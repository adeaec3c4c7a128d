import { REQUEST_TYPES } from '@seriatim/protocol';
import type { Cluster } from './cluster.ts';
import { SeriatimError, toSeriatimError } from './error.ts';

/** Asked again and again until then. */
const ROUND_MILLISECONDS = 5000;
const ATTEMPT_MILLISECONDS = 1000;

/** What the servers can do, asked once. */
export class Features {
  readonly #cluster: Cluster;
  #types: ReadonlySet<number> | null = null;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Request types by number. Rejects with a SeriatimError when no server could be asked. */
  async requestTypes(): Promise<ReadonlySet<number>> {
    this.#types ??= await this.#ask();
    return this.#types;
  }

  /** True when the servers were asked and do not know it. */
  lacks(name: keyof typeof REQUEST_TYPES): boolean {
    return this.#types !== null && !this.#types.has(REQUEST_TYPES[name]);
  }

  /** Throws UNSUPPORTED, with the names of the types that are missing, and forgets: a server may be upgraded meanwhile. */
  async require(...names: readonly (keyof typeof REQUEST_TYPES)[]): Promise<void> {
    const types = await this.requestTypes();
    const missing = names.filter((name) => !types.has(REQUEST_TYPES[name]));
    if (missing.length === 0) return;
    this.#types = null;
    const list = missing.map((name) => `${name} (${REQUEST_TYPES[name]})`).join(', ');
    throw new SeriatimError(
      'UNSUPPORTED',
      `the server does not know ${list}: upgrade it, or send by plain Produce (withoutOrdered: 'plain')`,
      { details: { missing, requestTypes: [...types] } },
    );
  }

  async #ask(): Promise<ReadonlySet<number>> {
    const limits = { timeoutMilliseconds: ROUND_MILLISECONDS };
    try {
      const answer = await this.#cluster.retrying('GetCapabilities', limits, ({ connection }) =>
        connection.call('GetCapabilities', {}, ATTEMPT_MILLISECONDS),
      );
      return new Set(answer.requestTypes);
    } catch (error) {
      // Older than the question itself.
      const failure = toSeriatimError(error);
      if (failure.code === 'UNSUPPORTED') return new Set();
      throw failure;
    }
  }
}
