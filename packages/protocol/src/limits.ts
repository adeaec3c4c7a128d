/** What one request may hold. A node's configuration may lower or raise them; clients learn them from GetCapabilities. */
export interface ProduceLimits {
  /** Bytes of one encoded Message, without the tag and length before it. */
  readonly messageBytesMax: number;
  /** Bytes of a whole OrderedProduceRequest or ProduceRequest. */
  readonly requestBytesMax: number;
  /** Messages in one request. */
  readonly requestMessagesMax: number;
  /** UTF-8 bytes of a message group; the least is 1. */
  readonly groupBytesMax: number;
  /** Headers of one message. */
  readonly headersMax: number;
  /** UTF-8 bytes of a header's name; the least is 1. */
  readonly headerNameBytesMax: number;
}

/** The limits of a node that configures nothing else. */
export const DEFAULT_LIMITS: ProduceLimits = Object.freeze({
  messageBytesMax: 1024 * 1024,
  requestBytesMax: 4 * 1024 * 1024,
  requestMessagesMax: 65_536,
  groupBytesMax: 256,
  headersMax: 64,
  headerNameBytesMax: 256,
});

/**
 * What gRPC itself lets through, in bytes and in either direction. Twice the largest request, so that an over-long one is
 * refused by the walker with a typed error and not by the transport.
 */
export const GRPC_MESSAGE_BYTES_MAX: number = 8 * 1024 * 1024;

/** Most UTF-8 bytes of a producer's name; the least is 1. */
export const PRODUCER_NAME_BYTES_MAX = 256;
/** Most bytes of the word that tells one opening from another. */
export const WRITER_INSTANCE_BYTES_MAX = 64;
/** Groups that one OpenWriterRequest may ask for. */
export const OPEN_WRITER_GROUPS_MAX = 4096;

/** Longest topic name, in characters of {@link TOPIC_NAME}. */
export const TOPIC_NAME_LENGTH_MAX = 128;
/** What a topic's name consists of. */
export const TOPIC_NAME: RegExp = /^[A-Za-z0-9._-]{1,128}$/;
/** Most partitions of a topic. */
export const PARTITIONS_MAX = 1024;
/** Bytes of messages in one FetchResponse when the request does not say. */
export const FETCH_RESPONSE_BYTES_DEFAULT: number = 256 * 1024;
/** Routes in one ListRoutesResponse. */
export const ROUTES_PAGE_MAX = 1000;
/** In PartitionError.partition: no partition was decided, because the group has no route. */
export const NO_PARTITION = 0xffff_ffff;
