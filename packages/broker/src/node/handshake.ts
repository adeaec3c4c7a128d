/**
 * The first frames of a connection between nodes. The side that dials says who it is and what the connection is for; the side
 * that accepts answers, and closes when it does not agree. A `status` connection carries one question and one answer, also
 * before a cluster is formed.
 */
import type { Channel, NodeId } from '@seriatim/multiraft';

/** Version of everything said on a peer connection. */
export const PEER_PROTOCOL_VERSION = 1;
/** Most bytes of a first frame: before it is read, nothing larger is accepted. */
export const HELLO_BYTES_MAX: number = 16 * 1024;

const MAGIC = 0x53524d31; // "SRM1"
const PURPOSES: readonly Purpose[] = ['control', 'bulk', 'status'];
const FIXED_BYTES = 4 + 1 + 1 + 4 + 8 + 1;

/** What a connection is for. */
export type Purpose = Channel | 'status';

/** What the dialling side says. */
export interface Hello {
  readonly purpose: Purpose;
  readonly node: NodeId;
  /** Rises with each start of a node's process. */
  readonly bootNumber: number;
  /** Empty before the cluster is formed. At most 255 bytes. */
  readonly clusterId: string;
  /** The question of a `status` connection, opaque here; empty otherwise. */
  readonly body: Uint8Array;
}

/** What the accepting side answers. */
export type Welcome =
  | {
      readonly type: 'accepted';
      readonly node: NodeId;
      readonly bootNumber: number;
      readonly body: Uint8Array;
    }
  | { readonly type: 'refused'; readonly reason: string };

/** The hello as one frame, without its length. */
export function encodeHello(hello: Hello): Uint8Array {
  const cluster = Buffer.from(hello.clusterId, 'utf8');
  const frame = Buffer.alloc(FIXED_BYTES + cluster.length + hello.body.length);
  frame.writeUInt32BE(MAGIC, 0);
  frame.writeUInt8(PEER_PROTOCOL_VERSION, 4);
  frame.writeUInt8(PURPOSES.indexOf(hello.purpose), 5);
  frame.writeUInt32LE(hello.node, 6);
  frame.writeDoubleLE(hello.bootNumber, 10);
  frame.writeUInt8(cluster.length, 18);
  frame.set(cluster, FIXED_BYTES);
  frame.set(hello.body, FIXED_BYTES + cluster.length);
  return frame;
}

/** Reads a hello; a string says what is wrong with it. */
export function decodeHello(frame: Uint8Array): Hello | string {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  if (bytes.length < FIXED_BYTES || bytes.readUInt32BE(0) !== MAGIC) return 'not a hello of this protocol';
  const version = bytes.readUInt8(4);
  if (version !== PEER_PROTOCOL_VERSION) {
    return `peer protocol version ${version}, this node speaks ${PEER_PROTOCOL_VERSION}`;
  }
  const purpose = PURPOSES[bytes.readUInt8(5)];
  if (purpose === undefined) return 'an unknown purpose';
  const clusterEnd = FIXED_BYTES + bytes.readUInt8(18);
  if (clusterEnd > bytes.length) return 'a cluster id that runs over the frame';
  return {
    purpose,
    node: bytes.readUInt32LE(6) as NodeId,
    bootNumber: bytes.readDoubleLE(10),
    clusterId: bytes.toString('utf8', FIXED_BYTES, clusterEnd),
    body: bytes.subarray(clusterEnd),
  };
}

/** The answer as one frame, without its length. */
export function encodeWelcome(welcome: Welcome): Uint8Array {
  if (welcome.type === 'refused') {
    return Buffer.concat([Buffer.from([0]), Buffer.from(welcome.reason.slice(0, 500), 'utf8')]);
  }
  const head = Buffer.alloc(13);
  head.writeUInt8(1, 0);
  head.writeUInt32LE(welcome.node, 1);
  head.writeDoubleLE(welcome.bootNumber, 5);
  return Buffer.concat([head, welcome.body]);
}

/** Reads an answer; a string says what is wrong with it. */
export function decodeWelcome(frame: Uint8Array): Welcome | string {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  if (bytes[0] === 0) return { type: 'refused', reason: bytes.toString('utf8', 1) };
  if (bytes[0] !== 1 || bytes.length < 13) return 'not an answer of this protocol';
  return {
    type: 'accepted',
    node: bytes.readUInt32LE(1) as NodeId,
    bootNumber: bytes.readDoubleLE(5),
    body: bytes.subarray(13),
  };
}
