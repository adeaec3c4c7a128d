import type { Message, RaftConfig } from '../src/index.ts';
import type { Mutant } from './mutants.ts';
import { Network } from './network.ts';
import type { Library, Replica } from './replica.ts';

/** One of the mistakes that other cores made, and how this one is kept from it. */
export interface Mistake {
  readonly number: number;
  readonly title: string;
  /** Throws when `library` makes the mistake. */
  readonly check: (library: Library) => void;
  /** The mistake put back in; `check` must throw for each. */
  readonly mutants: readonly Mutant[];
}

/** A network of `voters` replicas that run `library`. */
export function networkOf(library: Library, voters: number, settings: Partial<RaftConfig> = {}): Network {
  return new Network(voters, settings, library);
}

/** Lets a replica handle everything that it was given, and nothing else. */
export function work(replica: Replica): void {
  while (replica.work()) {
    // Each turn handles one Ready.
  }
}

/** Steps messages into a replica and returns what it sends by itself. */
export function exchange(network: Network, replica: Replica, ...messages: Message[]): Message[] {
  const before = network.sent.length;
  for (const message of messages) {
    replica.raft.step(message);
    work(replica);
  }
  return network.sent.slice(before);
}
