import type { ClientClock } from './ports.ts';
import { answerChannel, requestChannel } from './producer-events.ts';
import type { BuiltRequest } from './request-builder.ts';

/** Tells the diagnostics channels of a request; gives what to call at its end, or null when nobody listens. */
export function traceRequest(request: BuiltRequest, clock: ClientClock): ((error: unknown) => void) | null {
  const { topic, messages, runs, bytes } = request;
  const { address } = request.link;
  if (requestChannel.hasSubscribers) {
    requestChannel.publish({ topic, address, runs: runs.length, messages, bytes: bytes.length });
  }
  if (!answerChannel.hasSubscribers) return null;
  const start = clock.now();
  return (error) =>
    answerChannel.publish({ topic, address, messages, milliseconds: clock.now() - start, error });
}
