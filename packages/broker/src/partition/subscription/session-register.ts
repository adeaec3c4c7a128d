/**
 * Which sessions are attached, as it is replicated: after a change of leader these may come back. Sessions are told to have come before they
 * are given anything, and to have gone when what they settled is durable or their time is over.
 */
import type { Clock, Shard } from '@seriatim/multiraft';
import { encodeSessions } from './subscription-command.ts';
import type { SubscriptionProgress } from './subscription-state.ts';

/** Pause before a command that the core refused for now is proposed again, milliseconds. */
const RETRY_MILLISECONDS = 1;

const NOT_LEADER = { type: 'refused', reason: 'notLeader' } as const;

interface Telling {
  readonly data: Uint8Array;
  readonly told: (applied: boolean) => void;
}

/** What telling needs. */
export interface SessionRegisterOptions {
  readonly clock: Clock;
  readonly shard: Pick<Shard, 'propose'>;
  readonly applied: SubscriptionProgress;
}

/** See the head of this file. */
export class SessionRegister {
  readonly #options: SessionRegisterOptions;
  /** Sessions that are told to have gone, as often as that is not applied yet. */
  readonly #going: string[] = [];
  readonly #queue: Telling[] = [];
  #pausing = false;
  #ended = false;

  constructor(options: SessionRegisterOptions) {
    this.#options = options;
  }

  /** It is attached as far as the state knows, and stays so unless it goes. */
  isKnown(session: string): boolean {
    return this.#options.applied.sessions.has(session) && !this.#going.includes(session);
  }

  /** Resolves with true when it is applied that the session came; false: leadership was lost before. */
  came(session: string): Promise<boolean> {
    return this.#tell([session], []);
  }

  /** Resolves with true when it is applied that the session is gone; false: leadership was lost before. */
  async gone(session: string): Promise<boolean> {
    this.#going.push(session);
    const applied = await this.#tell([], [session]);
    this.#going.splice(this.#going.indexOf(session), 1);
    return applied;
  }

  /** Nothing is proposed any more. */
  end(): void {
    this.#ended = true;
  }

  #tell(attached: readonly string[], gone: readonly string[]): Promise<boolean> {
    const { id, generation } = this.#options.applied;
    const data = encodeSessions({ subscription: id, generation, attached, gone });
    return new Promise((resolve) => {
      this.#queue.push({ data, told: resolve });
      this.#propose();
    });
  }

  /** One after the other: a session that comes again is told behind its leaving. */
  #propose(): void {
    const { shard, clock } = this.#options;
    while (this.#queue.length > 0 && !this.#pausing) {
      const [{ data, told }] = this.#queue as [Telling];
      const result = this.#ended ? NOT_LEADER : shard.propose(data, (fate) => told(fate.type === 'applied'));
      if (result.type === 'refused' && result.reason !== 'notLeader') {
        this.#pausing = true;
        clock.after(RETRY_MILLISECONDS, () => {
          this.#pausing = false;
          this.#propose();
        });
        return;
      }
      this.#queue.shift();
      if (result.type === 'refused') told(false);
    }
  }
}
