/** Looks routes up in the local replica of the table, and counts how often that sufficed. */
import type { MetaView, TopicId } from '../contracts.ts';

/** How look-ups went since the start. */
export interface RoutingCounters {
  /** Groups found in the local table. */
  readonly hits: number;
  /** Groups that had to be assigned. */
  readonly misses: number;
}

/** The front door's way to a group's place. A look-up does not allocate. */
export class Router {
  readonly #view: MetaView;
  #hits = 0;
  #misses = 0;

  constructor(view: MetaView) {
    this.#view = view;
  }

  /**
   * Row of the group whose UTF-8 name is `bytes[start, end)`, or -1: it needs a {@link RouteAssigner}. To be read at once with
   * {@link MetaView.routePartition} and {@link MetaView.routeEpoch}; a row does not outlive an `await`.
   */
  routeOf(topic: TopicId, bytes: Uint8Array, start: number, end: number): number {
    const row = this.#view.findRoute(topic, bytes, start, end);
    if (row >= 0) this.#hits += 1;
    else this.#misses += 1;
    return row;
  }

  /** Counters since the start. */
  counters(): RoutingCounters {
    return { hits: this.#hits, misses: this.#misses };
  }

  /** Part of the look-ups that the local table answered, 0 to 1 (`routing_cache_hit_rate`); 1 when there was none. */
  hitRate(): number {
    const total = this.#hits + this.#misses;
    return total === 0 ? 1 : this.#hits / total;
  }

  /** Groups per partition (`partition_loads`), and the largest distance of one from the mean, as a part of the mean. */
  partitionLoads(topic: TopicId): { readonly loads: readonly number[]; readonly deviation: number } {
    const loads = this.#view.loads(topic);
    const total = loads.reduce((sum, load) => sum + load, 0);
    if (total === 0) return { loads, deviation: 0 };
    const mean = total / loads.length;
    const deviation = loads.reduce((most, load) => Math.max(most, Math.abs(load - mean) / mean), 0);
    return { loads, deviation };
  }
}
