/** Brings a batch to the leader of its partition: here, or over one hop. It never waits for an election. */
import type { NodeId, ShardId } from '@seriatim/multiraft';
import { type ErrorCode, RefusalError } from '@seriatim/protocol';
import { type AppendAnswer, type AppendBatch, type AppendRefusal, REQUEST_APPEND } from '../contracts.ts';
import {
  decodeAppendAnswer,
  decodeAppendBatch,
  encodeAppendAnswer,
  encodeAppendBatch,
} from '../partition/index.ts';
import type { FrontPorts } from './ports.ts';

/** An answer, and who gave it (0: this node knew no leader to ask). */
export interface Appended {
  readonly answer: AppendAnswer;
  readonly leader: number;
}

const refusal = (code: ErrorCode, message: string, notApplied = true): AppendRefusal => ({
  type: 'refusal',
  code,
  message,
  notApplied,
});

/** Appends `batch` where its shard is led; never rejects, answers by `deadline` (monotonic milliseconds). */
export async function appendToLeader(
  ports: FrontPorts,
  batch: AppendBatch,
  deadline: number,
): Promise<Appended> {
  const known = ports.leaders.leader(batch.shard);
  if (known === undefined) {
    return { answer: refusal('NO_LEADER', 'the partition has no leader at the moment'), leader: 0 };
  }
  if (known.node === ports.node)
    return { answer: await appendHere(ports, batch, deadline), leader: known.node };
  try {
    const parts = encodeAppendBatch(batch);
    const call = ports.calls.call(known.node, REQUEST_APPEND, parts, deadline);
    const body = await whileItLeads(ports, batch.shard, known.node, call);
    return { answer: readAnswer(body), leader: known.node };
  } catch (error) {
    return { answer: refusalOf(error), leader: known.node };
  }
}

/** A leader that hands over in order has this long to answer what it had taken, milliseconds. */
const HANDOVER_MILLISECONDS = 100;

/**
 * A frozen leader answers nothing until its connection is given up; that another node leads, or the partition is without leader, is
 * known sooner. Then what it did is unknown, and the caller may ask the new leader.
 */
function whileItLeads<T>(ports: FrontPorts, shard: ShardId, node: NodeId, call: Promise<T>): Promise<T> {
  const { leaders, clock } = ports;
  return new Promise((resolve, reject) => {
    let cancel: (() => void) | null = null;
    const giveUp = (): void => {
      end();
      const message = `node ${node} was silent when it ceased to lead the partition`;
      reject(new RefusalError('NOT_COMMITTED', message, { outcome: 'unknown' }));
    };
    const end = leaders.onChange((changed) => {
      if (changed !== shard || cancel !== null || leaders.leader(shard)?.node === node) return;
      cancel = clock.after(HANDOVER_MILLISECONDS, giveUp);
    });
    const over = (): void => {
      end();
      cancel?.();
    };
    call.finally(over).then(resolve, reject);
  });
}

/** Serves batches that other nodes forward: taken here or refused, never forwarded again. */
export function serveAppends(ports: FrontPorts): void {
  ports.calls.handle(REQUEST_APPEND, async (_from, body, deadline) => {
    const batch = decodeAppendBatch(body);
    return [encodeAppendAnswer(await appendHere(ports, batch, deadline))];
  });
}

function appendHere(ports: FrontPorts, batch: AppendBatch, deadline: number): Promise<AppendAnswer> {
  const partition = ports.partitions.get(batch.shard);
  if (partition !== undefined) return partition.append(batch, deadline);
  const message = `node ${ports.node} has no open replica of shard ${batch.shard}`;
  return Promise.resolve(refusal('NOT_LEADER', message));
}

/** An answer that can't be read leaves open what the leader did. */
function readAnswer(body: Uint8Array): AppendAnswer {
  try {
    return decodeAppendAnswer(body);
  } catch (error) {
    return refusal('INTERNAL', `the leader's answer can't be read: ${String(error)}`, false);
  }
}

function refusalOf(error: unknown): AppendRefusal {
  if (error instanceof RefusalError) {
    // A leader that is silent until the end has no quorum, or is none any more: "try again", not "you were too impatient".
    if (error.code === 'DEADLINE' && error.outcome === 'unknown') {
      return refusal('NOT_COMMITTED', error.message, false);
    }
    return refusal(error.code, error.message, error.outcome === 'not-applied');
  }
  return refusal('INTERNAL', error instanceof Error ? error.message : String(error), false);
}
