/** Brings a batch to the leader of its partition: here, or over one hop. It never waits for an election. */
import { type ErrorCode, RefusalError } from '@seriatim/protocol';
import { type AppendAnswer, type AppendBatch, type AppendRefusal, REQUEST_APPEND } from '../contracts.ts';
import {
  decodeAppendAnswer,
  decodeAppendBatch,
  encodeAppendAnswer,
  encodeAppendBatch,
} from '../partition/index.ts';
import { callLeader } from './leader-call.ts';
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
    const question = { shard: batch.shard, leader: known.node, kind: REQUEST_APPEND, parts, deadline };
    const body = await callLeader(ports, question);
    return { answer: readAnswer(body), leader: known.node };
  } catch (error) {
    return { answer: refusalOf(error), leader: known.node };
  }
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
