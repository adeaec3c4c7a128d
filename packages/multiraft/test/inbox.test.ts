import type { Index, Message, ReplicaId, Term } from '@seriatim/raft';
import { describe, expect, it } from 'vitest';
import { Inbox } from '../src/inbox.ts';

const envelope = { from: 1 as ReplicaId, to: 2 as ReplicaId, term: 1 as Term };
const heartbeat = (round: number): Message => ({
  ...envelope,
  type: 'heartbeatRequest',
  commit: 0 as Index,
  round,
});
const append = (index: number, bytes = 0): Message => ({
  ...envelope,
  type: 'appendRequest',
  previousIndex: index as Index,
  previousTerm: 1 as Term,
  commit: 0 as Index,
  entries: [{ index: (index + 1) as Index, term: 1 as Term, type: 'command', data: new Uint8Array(bytes) }],
});

describe('Inbox', () => {
  it('gives messages in their order and is empty then', () => {
    const inbox = new Inbox(10, 10_000);
    inbox.add(heartbeat(1));
    inbox.add(append(1));
    expect(inbox.take()).toEqual([heartbeat(1), append(1)]);
    expect(inbox.take()).toEqual([]);
  });

  it('drops the oldest append when there are too many messages, never a vote or heartbeat before it', () => {
    const inbox = new Inbox(3, 10_000);
    for (const message of [heartbeat(1), append(1), append(2), heartbeat(2)]) inbox.add(message);
    expect(inbox.take()).toEqual([heartbeat(1), append(2), heartbeat(2)]);
    expect(inbox.dropped).toBe(1);
  });

  it('drops appends when there are too many bytes, but always keeps the newest', () => {
    const inbox = new Inbox(100, 1_000);
    for (const message of [append(1, 600), append(2, 600), append(3, 5_000)]) inbox.add(message);
    expect(inbox.take()).toEqual([append(3, 5_000)]);
  });
});
