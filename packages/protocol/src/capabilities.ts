/**
 * Request types by number, as the wire's stable names for "this server can do that". ORDERED_PRODUCE has been 22 since the
 * first design, beside the older PRODUCE, so that a client can tell servers with ordered messages from others.
 */
export const REQUEST_TYPES = {
  PRODUCE: 1,
  FETCH: 2,
  LIST_TOPICS: 3,
  CREATE_TOPIC: 4,
  DELETE_TOPIC: 5,
  DESCRIBE_TOPIC: 6,
  DESCRIBE_CLUSTER: 7,
  GET_ROUTE: 8,
  LIST_ROUTES: 9,
  INIT_PRODUCER: 10,
  GET_CAPABILITIES: 11,
  CONSUME: 12,
  CREATE_SUBSCRIPTION: 13,
  LIST_SUBSCRIPTIONS: 14,
  DESCRIBE_SUBSCRIPTION: 15,
  DELETE_SUBSCRIPTION: 16,
  RESET_SUBSCRIPTION: 17,
  PAUSE_SUBSCRIPTION: 18,
  RESUME_SUBSCRIPTION: 19,
  REWIND_GROUP: 20,
  EXPLAIN_GROUP: 21,
  ORDERED_PRODUCE: 22,
  LIST_PARKED_GROUPS: 23,
  RESOLVE_GROUP: 24,
  LIST_SUBSCRIPTION_ACTIONS: 25,
  OPEN_WRITER: 26,
  ORDERED_PRODUCE_STREAM: 40,
} as const;

/** Name of a request type. */
export type RequestType = keyof typeof REQUEST_TYPES;

/** Numbers of all request types that this version serves, ascending. */
export const SUPPORTED_REQUEST_TYPES: readonly number[] = Object.values(REQUEST_TYPES).sort((a, b) => a - b);
