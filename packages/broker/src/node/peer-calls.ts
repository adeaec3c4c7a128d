/**
 * Requests to other nodes over the peer transport: {@link PeerCalls}. A call is answered once, refused with a typed error, or
 * ended by its deadline. What was sent and not answered has an unknown outcome; what was never sent was not applied.
 */
import { type Clock, FRAME_BROKER, type NodeId, type PeerTransport } from '@seriatim/multiraft';
import { ERRORS, type ErrorCode, RefusalError } from '@seriatim/protocol';
import type { PeerCalls } from '../contracts.ts';

/** Kind of a frame that asks. */
export const FRAME_CALL: number = FRAME_BROKER;
/** Kind of a frame that answers. */
export const FRAME_REPLY: number = FRAME_BROKER + 1;

/** Limits of the calls. */
export interface PeerCallLimits {
  /** Bytes of unanswered calls to one node; above it a call is refused as OVERLOADED (32 MiB). */
  readonly outstandingBytesMax: number;
  /** Unanswered calls of one node that are handled at the same time; above it they are refused as OVERLOADED (4,096). */
  readonly handledMax: number;
  /** Deadlines are looked at this often, milliseconds (20). */
  readonly sweepMilliseconds: number;
}

/** What calls with default settings are held to. */
export const defaultPeerCallLimits: PeerCallLimits = {
  outstandingBytesMax: 32 * 1024 * 1024,
  handledMax: 4_096,
  sweepMilliseconds: 20,
};

type Handler = (from: NodeId, body: Uint8Array, deadline: number) => Promise<readonly Uint8Array[]>;

interface Outstanding {
  readonly to: NodeId;
  readonly bytes: number;
  readonly deadline: number;
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: RefusalError) => void;
}

/** What an answer may take on its way back. */
const ANSWER_MILLISECONDS = 30;
const CALL_HEAD_BYTES = 10;
const REPLY_HEAD_BYTES = 6;

/** See the head of this file. */
export class FramedPeerCalls implements PeerCalls {
  readonly #transport: PeerTransport;
  readonly #clock: Clock;
  readonly #limits: PeerCallLimits;
  readonly #handlers = new Map<number, Handler>();
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #outstandingBytes = new Map<NodeId, number>();
  readonly #handled = new Map<NodeId, number>();
  #nextId = 1;
  #cancelSweep: (() => void) | null = null;

  constructor(transport: PeerTransport, clock: Clock, limits: PeerCallLimits) {
    this.#transport = transport;
    this.#clock = clock;
    this.#limits = limits;
    transport.onFrame((from, _channel, frame) => {
      if (frame[0] === FRAME_CALL) this.#onCall(from, frame);
      else if (frame[0] === FRAME_REPLY) this.#onReply(from, frame);
    });
    transport.onPeerState((node, state) => {
      if (state !== 'up') this.#lost(node);
    });
  }

  handle(kind: number, handler: Handler): void {
    this.#handlers.set(kind, handler);
  }

  call(to: NodeId, kind: number, parts: readonly Uint8Array[], deadline: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const remaining = Math.ceil(deadline - this.#clock.now());
      if (remaining <= 0) {
        reject(new RefusalError('DEADLINE', `the deadline passed before node ${to} was asked`));
        return;
      }
      let bytes = CALL_HEAD_BYTES;
      for (const part of parts) bytes += part.length;
      const before = this.#outstandingBytes.get(to) ?? 0;
      if (before > 0 && before + bytes > this.#limits.outstandingBytesMax) {
        const limit = this.#limits.outstandingBytesMax;
        reject(
          new RefusalError(
            'OVERLOADED',
            `${before} bytes of requests to node ${to} are unanswered, the limit is ${limit}: try again later`,
          ),
        );
        return;
      }
      const id = this.#takeId();
      const head = Buffer.allocUnsafe(CALL_HEAD_BYTES);
      head.writeUInt8(FRAME_CALL, 0);
      head.writeUInt8(kind, 1);
      head.writeUInt32LE(id, 2);
      // The callee's deadline is a little earlier, so that its typed answer arrives before this side gives up.
      const allowed = remaining - Math.min(ANSWER_MILLISECONDS, remaining * 0.1);
      head.writeUInt32LE(Math.min(Math.floor(allowed), 0xffff_ffff), 6);
      // Before it is sent: a transport in memory may bring the answer at once.
      this.#outstanding.set(id, { to, bytes, deadline, resolve, reject });
      this.#outstandingBytes.set(to, before + bytes);
      if (!this.#transport.send(to, 'bulk', [head, ...parts])) {
        this.#take(id);
        reject(new RefusalError('PEER_UNREACHABLE', `node ${to} can't be reached from this node`));
        return;
      }
      this.#cancelSweep ??= this.#clock.after(this.#limits.sweepMilliseconds, () => this.#sweep());
    });
  }

  /** Ends all calls that wait (unknown outcome); used when the node stops. */
  close(): void {
    this.#cancelSweep?.();
    this.#cancelSweep = null;
    for (const id of [...this.#outstanding.keys()]) {
      this.#take(id)?.reject(unknown('SHUTTING_DOWN', 'this node stops'));
    }
  }

  #takeId(): number {
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }

  #take(id: number): Outstanding | undefined {
    const call = this.#outstanding.get(id);
    if (call === undefined) return undefined;
    this.#outstanding.delete(id);
    this.#outstandingBytes.set(call.to, (this.#outstandingBytes.get(call.to) ?? call.bytes) - call.bytes);
    return call;
  }

  #sweep(): void {
    this.#cancelSweep = null;
    const now = this.#clock.now();
    for (const [id, call] of this.#outstanding) {
      if (call.deadline > now) continue;
      this.#take(id)?.reject(unknown('DEADLINE', `node ${call.to} did not answer by the deadline`));
    }
    if (this.#outstanding.size > 0) {
      this.#cancelSweep = this.#clock.after(this.#limits.sweepMilliseconds, () => this.#sweep());
    }
  }

  #lost(node: NodeId): void {
    for (const [id, call] of this.#outstanding) {
      if (call.to !== node) continue;
      this.#take(id)?.reject(unknown('PEER_UNREACHABLE', `the connection to node ${node} was lost`));
    }
  }

  #onCall(from: NodeId, frame: Uint8Array): void {
    if (frame.length < CALL_HEAD_BYTES) return;
    const head = Buffer.from(frame.buffer, frame.byteOffset, CALL_HEAD_BYTES);
    const kind = head.readUInt8(1);
    const id = head.readUInt32LE(2);
    const deadline = this.#clock.now() + head.readUInt32LE(6);
    const handler = this.#handlers.get(kind);
    const handled = this.#handled.get(from) ?? 0;
    if (handler === undefined) {
      this.#refuse(
        from,
        id,
        new RefusalError('INTERNAL', `this node does not know peer requests of kind ${kind}`),
      );
      return;
    }
    if (handled >= this.#limits.handledMax) {
      this.#refuse(
        from,
        id,
        new RefusalError(
          'OVERLOADED',
          `${handled} requests of node ${from} are being handled, that is the limit`,
        ),
      );
      return;
    }
    this.#handled.set(from, handled + 1);
    void this.#answer(handler, from, id, frame.subarray(CALL_HEAD_BYTES), deadline);
  }

  async #answer(
    handler: Handler,
    from: NodeId,
    id: number,
    body: Uint8Array,
    deadline: number,
  ): Promise<void> {
    try {
      const parts = await handler(from, body, deadline);
      this.#transport.send(from, 'bulk', [replyHead(id, true), ...parts]);
    } catch (error) {
      this.#refuse(from, id, error);
    } finally {
      this.#handled.set(from, (this.#handled.get(from) ?? 1) - 1);
    }
  }

  #refuse(to: NodeId, id: number, error: unknown): void {
    const refusal =
      error instanceof RefusalError
        ? error
        : new RefusalError('INTERNAL', error instanceof Error ? error.message : String(error), {
            outcome: 'unknown',
          });
    const body = JSON.stringify({
      code: refusal.code,
      message: refusal.message,
      outcome: refusal.outcome,
      leaderAddress: refusal.leaderAddress,
    });
    this.#transport.send(to, 'bulk', [replyHead(id, false), Buffer.from(body, 'utf8')]);
  }

  #onReply(from: NodeId, frame: Uint8Array): void {
    if (frame.length < REPLY_HEAD_BYTES) return;
    const head = Buffer.from(frame.buffer, frame.byteOffset, REPLY_HEAD_BYTES);
    const id = head.readUInt32LE(2);
    if (this.#outstanding.get(id)?.to !== from) return;
    const body = frame.subarray(REPLY_HEAD_BYTES);
    const call = this.#take(id);
    if (head.readUInt8(1) === 1) call?.resolve(body);
    else call?.reject(readRefusal(body, from));
  }
}

function replyHead(id: number, ok: boolean): Uint8Array {
  const head = Buffer.allocUnsafe(REPLY_HEAD_BYTES);
  head.writeUInt8(FRAME_REPLY, 0);
  head.writeUInt8(ok ? 1 : 0, 1);
  head.writeUInt32LE(id, 2);
  return head;
}

const unknown = (code: ErrorCode, message: string): RefusalError =>
  new RefusalError(code, message, { outcome: 'unknown' });

function readRefusal(body: Uint8Array, from: NodeId): RefusalError {
  let fields: unknown;
  try {
    fields = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8'));
  } catch {
    fields = null;
  }
  const { code, message, outcome, leaderAddress } = (fields ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof code !== 'string' || !Object.hasOwn(ERRORS, code)) {
    return unknown('INTERNAL', `node ${from} refused with something this node can't read`);
  }
  return new RefusalError(code as ErrorCode, String(message), {
    outcome: outcome === 'unknown' ? 'unknown' : 'not-applied',
    leaderAddress: typeof leaderAddress === 'string' ? leaderAddress : undefined,
  });
}
