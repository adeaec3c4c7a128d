/** Keeps this node's entry in the meta state true: addresses, process and start. */
import type { Clock } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import { pauseUnless } from './deadline.ts';
import type { MetaCommand, MetaResult, NodeRecord } from './model.ts';

/** What {@link registerNode} needs. */
export interface RegistrationOptions {
  readonly clock: Clock;
  readonly node: NodeRecord;
  readonly submit: (command: MetaCommand, deadline: number) => Promise<MetaResult>;
  /** Told why it is not done yet. */
  readonly onWait: (reason: string) => void;
  /** Milliseconds that one attempt may take (5,000), and the pause behind one that failed (500). */
  readonly attemptMilliseconds?: number;
  readonly pauseMilliseconds?: number;
}

/** Registers this start of the node, as often as it takes. Resolves when the local replica shows it, or `signal` aborts. */
export async function registerNode(options: RegistrationOptions, signal: AbortSignal): Promise<void> {
  const { clock, node, submit, onWait } = options;
  while (!signal.aborted) {
    try {
      const deadline = clock.now() + (options.attemptMilliseconds ?? 5_000);
      const answer = await submit({ type: 'registerNode', ...node }, deadline);
      if (answer.type === 'done') return;
      onWait(answer.type === 'refused' ? answer.message : `registration was answered ${answer.type}`);
    } catch (error) {
      if (!(error instanceof RefusalError)) throw error;
      onWait(error.message);
    }
    await pauseUnless(clock, options.pauseMilliseconds ?? 500, signal);
  }
}
