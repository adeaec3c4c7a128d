import type { MessageContent } from '@seriatim/protocol';

/** A message to send. Messages of one group keep their order; groups know nothing of each other. */
export interface OrderedMessage extends MessageContent {
  /** The ordering key: 1 to 256 bytes of UTF-8. */
  readonly messageGroup: string;
}

/** Where a message is stored. */
export interface Receipt {
  readonly partition: number;
  readonly offset: number;
  /** Position in its group, from 1. */
  readonly sequence: number;
  /** An earlier attempt had stored it: this is the original receipt. */
  readonly duplicate: boolean;
}
