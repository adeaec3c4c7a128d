/** One question to a node and its answer, on a connection of its own; this works also before the cluster is formed. */
import { connect } from 'node:net';
import type { NodeId } from '@seriatim/multiraft';
import { FrameReader } from './frame-reader.ts';
import { decodeWelcome, encodeHello, HELLO_BYTES_MAX } from './handshake.ts';
import { frameHeader, type PeerLimits } from './outgoing-link.ts';

/** What came back: an answer with who gave it, or why there is none. `refused`: nothing listens at the address. */
export type StatusAnswer =
  | {
      readonly type: 'answer';
      readonly node: NodeId;
      readonly bootNumber: number;
      readonly body: Uint8Array;
    }
  | { readonly type: 'refused' | 'down'; readonly reason: string };

/** Asks once, within `limits.connectMilliseconds`; never rejects. */
export function askStatus(
  address: { readonly host: string; readonly port: number },
  identity: { readonly node: NodeId; readonly bootNumber: number; readonly clusterId: string },
  question: Uint8Array,
  limits: PeerLimits,
): Promise<StatusAnswer> {
  return new Promise((resolve) => {
    let answer: StatusAnswer = { type: 'down', reason: 'closed by the peer' };
    const socket = connect({ ...address, noDelay: true });
    const fail = (reason: string): void => {
      answer = { type: 'down', reason };
      socket.destroy();
    };
    const timeout = setTimeout(() => fail('no answer in time'), limits.connectMilliseconds);
    const reader = new FrameReader(HELLO_BYTES_MAX, (frame) => {
      const welcome = decodeWelcome(frame);
      if (typeof welcome === 'string') return fail(welcome);
      if (welcome.type === 'refused') return fail(welcome.reason);
      const { node, bootNumber, body } = welcome;
      answer = { type: 'answer', node, bootNumber, body };
      socket.destroy();
    });
    socket.on('connect', () => {
      const hello = encodeHello({ purpose: 'status', ...identity, body: question });
      socket.write(Buffer.concat([frameHeader(hello.length), hello]));
    });
    socket.on('data', (chunk: Buffer) => {
      const wrong = reader.push(chunk);
      if (wrong !== null) fail(wrong);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (answer.type !== 'answer') {
        answer = { type: error.code === 'ECONNREFUSED' ? 'refused' : 'down', reason: error.message };
      }
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(timeout);
      resolve(answer);
    });
  });
}
