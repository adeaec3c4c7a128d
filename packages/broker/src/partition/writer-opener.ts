/**
 * Opens instances of named producers where this replica leads. The answer is read from the applied state after the fence was applied: what
 * an older instance appended before it is counted, and nothing of it can come behind.
 */
import type { Clock, Fate } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { WriterOpening, WriterPosition } from '../contracts.ts';
import type { PartitionLeader } from './partition-leader.ts';
import type { PartitionState } from './partition-state.ts';
import { WRITER_COUNT, WRITER_SEQUENCE } from './writer-rows.ts';

/** What opening needs of the outside. */
export interface WriterOpenerOptions {
  readonly state: PartitionState;
  readonly leader: PartitionLeader;
  readonly clock: Clock;
}

const NOTHING: WriterPosition = { known: true, lastProducerSequence: 0, lastGroupSequence: 0 };

/** See the head of this file. */
export class WriterOpener {
  readonly #options: WriterOpenerOptions;
  /** Ends what waits, when the partition closes. */
  readonly #waiting = new Set<() => void>();

  constructor(options: WriterOpenerOptions) {
    this.#options = options;
  }

  /** See Partition.openWriter. */
  open(opening: WriterOpening, deadline: number): Promise<readonly WriterPosition[]> {
    const { clock, leader } = this.#options;
    return new Promise((resolve, reject) => {
      let ended = false;
      const end = (act: () => void): void => {
        if (ended) return;
        ended = true;
        cancel();
        this.#waiting.delete(giveUp);
        act();
      };
      const giveUp = (): void => end(() => reject(uncertain('no majority confirmed the fence in time')));
      const cancel = clock.after(Math.max(0, deadline - clock.now()), giveUp);
      this.#waiting.add(giveUp);
      const refusal = leader.fence(opening.producerId, opening.epoch, (fate) =>
        end(() => {
          try {
            resolve(this.#answer(opening, fate));
          } catch (error) {
            reject(error);
          }
        }),
      );
      if (refusal === null) return;
      end(() => reject(refusal === 'tooMuchUncommitted' ? overloaded() : notLeader()));
    });
  }

  /** Answers what waits: its fate is not known. */
  close(): void {
    for (const giveUp of [...this.#waiting]) giveUp();
  }

  #answer(opening: WriterOpening, fate: Fate): WriterPosition[] {
    if (fate.type === 'unknown') throw uncertain('leadership was lost before the fence was confirmed');
    if (fate.type === 'overwritten') throw notLeader();
    const { producerId, epoch, groups } = opening;
    const fence = this.#options.state.fences.epoch(producerId);
    if (fence > epoch) {
      throw new RefusalError(
        'PRODUCER_FENCED',
        `producer ${producerId} has epoch ${fence} here, the request's is ${epoch}: another instance took over`,
      );
    }
    return groups.map(({ name, life }) => this.#position(producerId, name, life));
  }

  #position(producer: number, name: Uint8Array, life: number): WriterPosition {
    const { names, records } = this.#options.state;
    const group = names.find(name, 0, name.length);
    // Not of this life yet: nothing of it is stored, whoever sent it.
    if (group < 0 || records.life(group) < life) return NOTHING;
    if (records.life(group) > life) {
      const message = `the route's epoch ${life} is older than life ${records.life(group)} of the group here; look the route up again`;
      throw new RefusalError('STALE_ROUTE', message);
    }
    const lastGroupSequence = records.lastSequence(group);
    const place = records.writer(group, producer);
    if (place === null) {
      const known = producer > records.displacedProducer(group);
      return { known, lastProducerSequence: 0, lastGroupSequence };
    }
    const first = place.rows[place.at + WRITER_SEQUENCE] as number;
    const count = place.rows[place.at + WRITER_COUNT] as number;
    return { known: true, lastProducerSequence: first + count - 1, lastGroupSequence };
  }
}

const uncertain = (message: string): RefusalError =>
  new RefusalError('NOT_COMMITTED', `${message}; ask again`, { outcome: 'unknown' });
const notLeader = (): RefusalError =>
  new RefusalError('NOT_LEADER', 'this replica does not lead the partition; ask its leader');
const overloaded = (): RefusalError =>
  new RefusalError('OVERLOADED', 'too many producers are being opened in this partition; try again later');
