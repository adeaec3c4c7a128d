/** The settings of a node: names, meaning, defaults. docs/operations.md lists them; a test keeps both equal. */
import { z } from 'zod';

/** Settings as they are after validation. Addresses are host:port (an IPv6 host in brackets), times milliseconds, sizes bytes. */
export interface Settings {
  /** Number of this node in the cluster, from 1; never given to another disk. */
  readonly nodeId: number;
  /** Everything the node remembers; made if it is not there. */
  readonly dataDirectory: string;
  /** Where the node listens: gRPC, other nodes, health and metrics. */
  readonly listen: { readonly client: string; readonly peer: string; readonly http: string };
  /** Where others reach it; the listening addresses unless said. */
  readonly advertise: { readonly client?: string | undefined; readonly peer?: string | undefined };
  /** All nodes of the cluster, this one included, with their peer addresses. */
  readonly peers: readonly { readonly id: number; readonly address: string }[];
  readonly limits: {
    readonly messageBytesMax: number;
    readonly requestBytesMax: number;
    readonly requestMessagesMax: number;
    /** Produce requests being handled; above it clients get OVERLOADED. */
    readonly requestBytesInFlightMax: number;
  };
  /** Of all shards; the same on all nodes. */
  readonly raft: { readonly electionTimeoutMilliseconds: number; readonly heartbeatMilliseconds: number };
  /** Between two looks at what retention may remove. */
  readonly retentionCheckMilliseconds: number;
  /** Floors under the data directory: below the first produce is refused, below the second the node stops. */
  readonly freeSpace: { readonly produceBytesMin: number; readonly runBytesMin: number };
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  /** From SIGTERM to the end, at most. */
  readonly shutdownMilliseconds: number;
}

const MEBIBYTE: number = 1024 * 1024;

const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, 'must be host:port')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'must have a port up to 65535');

const whole = (min: number, max: number) => z.number().int().min(min).max(max);

/** Checks settings and fills in the defaults. */
export const settingsSchema: z.ZodType<Settings> = z.strictObject({
  nodeId: whole(1, 65_535),
  dataDirectory: z.string().min(1),
  listen: z
    .strictObject({
      client: address.default('127.0.0.1:7101'),
      peer: address.default('127.0.0.1:7201'),
      http: address.default('127.0.0.1:7301'),
    })
    .prefault({}),
  advertise: z.strictObject({ client: address.optional(), peer: address.optional() }).prefault({}),
  peers: z
    .array(z.strictObject({ id: whole(1, 65_535), address }))
    .min(1)
    .max(64),
  limits: z
    .strictObject({
      messageBytesMax: whole(1, 4 * MEBIBYTE).default(MEBIBYTE),
      requestBytesMax: whole(1, 8 * MEBIBYTE).default(4 * MEBIBYTE),
      requestMessagesMax: whole(1, 1_000_000).default(65_536),
      requestBytesInFlightMax: whole(MEBIBYTE, 16_384 * MEBIBYTE).default(256 * MEBIBYTE),
    })
    .prefault({}),
  raft: z
    .strictObject({
      electionTimeoutMilliseconds: whole(200, 60_000).default(1_000),
      heartbeatMilliseconds: whole(25, 10_000).default(100),
    })
    .prefault({}),
  retentionCheckMilliseconds: whole(100, 86_400_000).default(10_000),
  freeSpace: z
    .strictObject({
      produceBytesMin: whole(0, Number.MAX_SAFE_INTEGER).default(512 * MEBIBYTE),
      runBytesMin: whole(0, Number.MAX_SAFE_INTEGER).default(128 * MEBIBYTE),
    })
    .prefault({}),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
  shutdownMilliseconds: whole(100, 60_000).default(10_000),
});
