import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';

/** How a call ended that was sent as bare bytes. */
export interface RawOutcome {
  /** Name of the gRPC status. */
  readonly status: string;
  /** Trailer `seriatim-code`. */
  readonly code: string;
  /** Trailer `seriatim-outcome`. */
  readonly outcome: string;
  readonly message: string;
  readonly response: Uint8Array;
}

/** A client that knows nothing of the protocol: it sends bytes as they are given, right or wrong. */
export class RawClient {
  readonly #client: Client;

  constructor(endpoint: string) {
    this.#client = new Client(endpoint, credentials.createInsecure(), {
      'grpc.max_send_message_length': -1,
      'grpc.enable_retries': 0,
    });
  }

  /** Calls a unary method of the broker. */
  unary(method: string, request: Uint8Array, timeoutMilliseconds = 10_000): Promise<RawOutcome> {
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        `/seriatim.v1.Broker/${method}`,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes: Buffer): Uint8Array => bytes,
        request,
        { deadline: Date.now() + timeoutMilliseconds },
        (error, response) => resolve(outcomeOf(error, response)),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

function outcomeOf(error: ServiceError | null, response: Uint8Array | undefined): RawOutcome {
  const trailer = (name: string): string => String(error?.metadata?.get(name)[0] ?? '');
  return {
    status: status[error?.code ?? status.OK] ?? 'none',
    code: trailer('seriatim-code'),
    outcome: trailer('seriatim-outcome'),
    message: error?.details ?? '',
    response: response ?? new Uint8Array(0),
  };
}

/** A protobuf varint. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A number field. */
export const numberField = (field: number, value: number): Buffer =>
  Buffer.concat([varint(field * 8), varint(value)]);

/** A field with a length: text, bytes or a message. `length` lies on purpose when it is given. */
export function bytesField(field: number, content: string | Uint8Array, length?: number): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([varint(field * 8 + 2), varint(length ?? bytes.length), bytes]);
}
