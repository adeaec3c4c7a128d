/** One shard in a {@link NodeStore}: which parts of its log lie where. */
import type { ShardId } from '@seriatim/multiraft';
import type { Entry, Index, ReplicaId, Term } from '@seriatim/raft';
import { invariant } from './invariant.ts';
import type { ShardSegments } from './shard-segments.ts';

/** Entries up to `segments.next - 1` are committed and in segments (or their tail); those behind it wait here. */
export class StoredShard {
  readonly shard: ShardId;
  readonly replica: ReplicaId;
  #segments: ShardSegments;
  /** In the journal, not yet told to be committed; dense from `segments.next`. */
  #waiting: Entry[];
  /** Bytes of entries written since this shard was opened, and how many of them the last image covers. */
  #bytes = 0;
  #bytesCovered = 0;
  /** Segments below this are to go as soon as the image allows. */
  removeBelow = 0 as Index;
  /** The shard keeps an old journal file from going: an image is wanted whatever its size. */
  isPressed = false;

  constructor(shard: ShardId, replica: ReplicaId, segments: ShardSegments, waiting: readonly Entry[]) {
    this.shard = shard;
    this.replica = replica;
    this.#segments = segments;
    this.#waiting = [...waiting];
    for (const { data } of waiting) this.#bytes += data.length;
  }

  /** What is committed. Another object after {@link reset}. */
  get segments(): ShardSegments {
    return this.#segments;
  }

  /** Last index of the log. */
  get last(): Index {
    return (this.segments.next - 1 + this.#waiting.length) as Index;
  }

  /** Entries that are only in the journal. */
  get waiting(): readonly Entry[] {
    return this.#waiting;
  }

  /** Bytes written and not covered by an image. */
  get uncoveredBytes(): number {
    return this.#bytes - this.#bytesCovered;
  }

  /** Notes that everything written until now is covered once the returned function is called. */
  beginCover(): () => void {
    const covered = this.#bytes - this.#waiting.reduce((sum, { data }) => sum + data.length, 0);
    return () => {
      this.#bytesCovered = Math.max(this.#bytesCovered, covered);
      this.isPressed = false;
    };
  }

  /** Takes entries given to the journal: they overwrite what is at and behind the first. */
  write(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    const keep = first.index - this.segments.next;
    invariant(keep >= 0, `shard ${this.shard}: entry ${first.index} would overwrite a committed one`);
    invariant(keep <= this.#waiting.length, `shard ${this.shard}: entry ${first.index} after ${this.last}`);
    this.#waiting.length = keep;
    for (const entry of entries) {
      this.#waiting.push(entry);
      this.#bytes += entry.data.length;
    }
  }

  /** The log begins anew behind an installed image; `segments` came with it and end there. */
  reset(segments: ShardSegments): void {
    const before = this.#segments;
    this.#waiting = [];
    this.#bytesCovered = this.#bytes;
    this.#segments = segments;
    void before.remove();
  }

  /** The segments took everything below their `next`. */
  committed(before: Index): void {
    const taken = this.segments.next - before;
    if (taken > 0) this.#waiting.splice(0, taken);
  }

  /** Entries from memory, when all from `from` on wait here; null: look into the segments. */
  readWaiting(
    from: Index,
    bytesMax: number,
  ): { readonly previousTerm: Term; readonly entries: readonly Entry[] } | null {
    const position = from - this.segments.next;
    if (position < 0) return null;
    const previousTerm =
      position === 0 ? this.segments.lastTerm : (this.#waiting[position - 1]?.term ?? (0 as Term));
    const entries: Entry[] = [];
    let bytes = 0;
    for (let i = position; i < this.#waiting.length; i++) {
      const entry = this.#waiting[i] as Entry;
      bytes += entry.data.length;
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.push(entry);
    }
    return { previousTerm, entries };
  }
}
