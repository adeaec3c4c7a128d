/** A consumer's stream in virtual time: what is sent arrives in order, each way by itself, until the stream breaks; then each end learns of it in its own time. */
import { type ConsumeCall, type ConsumeListener, UnreachableError } from '@seriatim/client';
import { RefusalError } from '@seriatim/protocol';
import type { BrokerNode } from '../producers/broker-node.ts';
import type { Random } from '../simulation/random.ts';
import type { EventOwner, Scheduler } from '../simulation/scheduler.ts';

const WAY = [0.2, 3] as const;
/** Milliseconds until a broker notices that a client is gone. */
const NOTICED = [1, 3_000] as const;
/** A client looks this often whether its broker lives, milliseconds. */
const LOOK_MILLISECONDS = 400;
const FULL_PART = 0.05;

type ConsumeSession = ReturnType<BrokerNode['door']['consume']>;

/** What a channel connects. */
export interface ConsumeChannelOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly client: EventOwner;
  readonly broker: BrokerNode;
  readonly listener: ConsumeListener;
  /** The stream is over. */
  readonly onOver: () => void;
}

/** See the head of this file. */
export class ConsumeChannel implements ConsumeCall {
  readonly #options: ConsumeChannelOptions;
  #session: ConsumeSession | null = null;
  #over = false;
  /** When what was sent last arrives, each way. */
  #upAt = 0;
  #downAt = 0;

  constructor(options: ConsumeChannelOptions) {
    this.#options = options;
    this.#watch();
  }

  send(request: Buffer): void {
    if (this.#over) return;
    const bytes = Buffer.from(request);
    this.#up(() => this.#take(bytes));
  }

  cancel(): void {
    if (this.#over) return;
    this.#end();
    this.#up(() => this.#session?.gone());
  }

  /** The connection breaks. */
  break(): void {
    if (this.#over) return;
    const { scheduler, random, client, broker, listener } = this.#options;
    this.#end();
    const lost = new UnreachableError('PEER_UNREACHABLE', 'the stream broke', { outcome: 'unknown' });
    scheduler.after(random.between(...WAY), 'frame', client, () => listener.ended(lost));
    scheduler.after(random.between(...NOTICED), 'frame', broker.process, () => this.#session?.gone());
  }

  #take(bytes: Buffer): void {
    if (this.#session === null) {
      try {
        this.#session = this.#options.broker.door.consume({
          write: (response) => this.#write(Buffer.from(response)),
          end: (refusal) => this.#ended(refusal),
        });
      } catch (error) {
        this.#ended(error);
        return;
      }
    }
    this.#session.take(bytes);
  }

  #write(bytes: Buffer): boolean {
    const { listener, random, scheduler, broker } = this.#options;
    this.#down(() => listener.response(bytes));
    if (!random.chance(FULL_PART)) return true;
    scheduler.after(random.between(1, 30), 'frame', broker.process, () => this.#session?.drained());
    return false;
  }

  #ended(refusal: unknown): void {
    if (this.#over) return;
    const { listener } = this.#options;
    const error = refusal instanceof RefusalError ? refusal : null;
    if (refusal !== null && error === null) throw refusal;
    this.#down(() => {
      this.#end();
      listener.ended(error);
    });
  }

  /** A broker that dies takes its streams with it. */
  #watch(): void {
    const { scheduler, broker, client } = this.#options;
    scheduler.after(LOOK_MILLISECONDS, 'world', null, () => {
      if (this.#over) return;
      if (client.dead || broker.process.dead) this.break();
      else this.#watch();
    });
  }

  #end(): void {
    this.#over = true;
    this.#options.onOver();
  }

  #up(act: () => void): void {
    const { scheduler, random, broker } = this.#options;
    this.#upAt = Math.max(this.#upAt, scheduler.now + random.between(...WAY));
    scheduler.after(this.#upAt - scheduler.now, 'frame', broker.process, act);
  }

  #down(act: () => void): void {
    const { scheduler, random, client } = this.#options;
    this.#downAt = Math.max(this.#downAt, scheduler.now + random.between(...WAY));
    scheduler.after(this.#downAt - scheduler.now, 'frame', client, () => {
      if (!this.#over) act();
    });
  }
}
