import { describe, expect, test } from 'vitest';
import { exchange, work } from './mistakes.ts';
import { Network } from './network.ts';
import { bytes, configurationOf, type Replica, replicaId } from './replica.ts';
import { appended, diskOf, refused } from './words.ts';

const three = configurationOf([1, 2, 3]);

/** A leader of term 2 with six entries; its followers are spoken for by the test. */
function leading(settings: object = {}): { network: Network; leader: Replica } {
  const network = new Network(0, settings);
  for (const id of [1, 2, 3]) {
    network.add(id, diskOf([1, 1, 1, 1, 1], three, 1));
  }
  network.drops = (message) => message.type === 'appendRequest' || message.type === 'heartbeatRequest';
  const leader = network.elect(1);
  network.sent = [];
  return { network, leader };
}

function progressOf(leader: Replica, id: number): unknown {
  const { state, match, next } =
    leader.raft.status().progress.find((member) => member.replica === replicaId(id)) ?? {};
  return { state, match, next };
}

describe('what a leader makes of answers', () => {
  test('a refusal moves the probe back, the same one again does not', () => {
    const { network, leader } = leading();
    const refusal = refused({ from: 2, to: 1, term: 2 }, 5, [2, 1]);
    exchange(network, leader, refusal);
    expect(progressOf(leader, 2)).toEqual({ state: 'probe', match: 0, next: 3 });
    expect(exchange(network, leader, refusal, refusal)).toEqual([]);
    expect(progressOf(leader, 2)).toEqual({ state: 'probe', match: 0, next: 3 });
  });

  test('an acknowledgement starts the pipeline; a refusal from before it is too late', () => {
    const { network, leader } = leading();
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 6));
    expect(progressOf(leader, 2)).toEqual({ state: 'replicate', match: 6, next: 7 });
    exchange(network, leader, refused({ from: 2, to: 1, term: 2 }, 5, [0, 0]));
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 3));
    expect(progressOf(leader, 2)).toEqual({ state: 'replicate', match: 6, next: 7 });
  });

  test('an acknowledgement of what the leader does not have is ignored', () => {
    const { network, leader } = leading();
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 60));
    expect(progressOf(leader, 2)).toEqual({ state: 'probe', match: 0, next: 6 });
  });

  test('a hint that lies ahead of the refused index is not followed forward', () => {
    const { network, leader } = leading();
    exchange(network, leader, refused({ from: 2, to: 1, term: 2 }, 5, [90, 9]));
    expect(progressOf(leader, 2)).toEqual({ state: 'probe', match: 0, next: 5 });
  });

  test('lost appends are found out by the next heartbeat, and sent again', () => {
    const network = new Network(3);
    network.elect(1);
    network.tick(2);
    network.drops = (message) => message.type === 'appendRequest' && message.entries.length > 0;
    network.propose(1, 'a', 'b');
    network.heal();
    network.tick(2);
    expect(network.get(2).state).toEqual(['a', 'b']);
  });

  test.each([true, false])(
    'an idle follower learns of a commit at once, or with the next heartbeat (at once: %s)',
    (commitToldAtOnce) => {
      const network = new Network(3, { commitToldAtOnce });
      network.elect(1);
      network.tick(2);
      network.propose(1, 'a');
      expect(network.get(1).state).toEqual(['a']);
      expect(network.get(2).state).toEqual(commitToldAtOnce ? ['a'] : []);
      network.tick(2);
      expect(network.get(2).state).toEqual(['a']);
    },
  );

  test('lost acknowledgements are, too', () => {
    const network = new Network(3);
    network.elect(1);
    network.tick(2);
    network.drops = (message) => message.type === 'appendResponse';
    network.propose(1, 'a');
    expect(network.get(1).state).toEqual([]);
    network.heal();
    network.tick(2);
    expect(network.get(1).state).toEqual(['a']);
  });
});

describe('flow control', () => {
  test('stops at the bytes in flight and goes on with each acknowledgement', () => {
    const { network, leader } = leading({ inflightBytesMax: 20, appendBytesMax: 10 });
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 6));
    network.sent = [];
    for (let i = 0; i < 5; i++) {
      leader.raft.propose(bytes('0123456789'));
    }
    work(leader);
    const sentTo2 = (): number[] =>
      network.sent.flatMap((m) =>
        m.type === 'appendRequest' && m.to === 2 ? m.entries.map((e) => e.index) : [],
      );
    expect(sentTo2()).toEqual([7, 8]);
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 7));
    expect(sentTo2()).toEqual([7, 8, 9]);
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 9));
    expect(sentTo2()).toEqual([7, 8, 9, 10, 11]);
  });

  test('an entry above every limit still goes, alone', () => {
    const network = new Network(3, { appendBytesMax: 4, inflightBytesMax: 4, uncommittedBytesMax: 4 });
    network.elect(1);
    network.propose(1, 'a long command');
    network.tick(2);
    expect(network.get(3).state).toEqual(['a long command']);
  });
});

describe('entries that left memory', () => {
  test('are asked for one request at a time, and a late answer is ignored', () => {
    const { network, leader } = leading({ cacheBytesMax: 1 });
    // Committed and applied with replica 2, so that nothing stays in memory.
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 6));
    expect(leader.state).toHaveLength(5);
    leader.raft.step(refused({ from: 3, to: 1, term: 2 }, 5, [2, 1]));
    const ready = leader.raft.ready();
    expect(ready.entriesWanted).toEqual({ from: 3, bytesMax: 1_000 });
    expect(leader.raft.ready().entriesWanted).toBeNull();
    leader.raft.entriesRead(1 as never, 0 as never, []);
    expect(leader.raft.ready().messages).toEqual([]);
    leader.raft.entriesRead(3 as never, 1 as never, leader.disk.entries.slice(2, 4));
    expect(leader.raft.ready().messages).toMatchObject([
      {
        type: 'appendRequest',
        to: 3,
        previousIndex: 2,
        previousTerm: 1,
        entries: [{ index: 3 }, { index: 4 }],
      },
    ]);
  });

  test('that the store no longer has make the leader want an image, again after a failed transfer', () => {
    const { network, leader } = leading({ cacheBytesMax: 1 });
    exchange(network, leader, appended({ from: 2, to: 1, term: 2 }, 6));
    leader.raft.step(refused({ from: 3, to: 1, term: 2 }, 5, [2, 1]));
    expect(leader.raft.ready().entriesWanted).toMatchObject({ from: 3 });
    leader.raft.entriesCompacted(5 as never);
    expect(leader.raft.ready().imagesWanted).toEqual([3]);
    expect(progressOf(leader, 3)).toMatchObject({ state: 'snapshot' });
    leader.raft.snapshotReport(replicaId(3), false);
    expect(leader.raft.ready().imagesWanted).toEqual([]);
    // Its next sign of life, in a later round.
    for (let tick = 0; tick < 2; tick++) {
      leader.raft.tick();
    }
    const round = leader.raft
      .ready()
      .messages.map((message) => (message.type === 'heartbeatRequest' ? message.round : 0));
    leader.raft.step({
      type: 'heartbeatResponse',
      from: replicaId(3),
      to: leader.id,
      term: 2 as never,
      round: Math.max(...round),
    });
    expect(leader.raft.ready().imagesWanted).toEqual([3]);
  });
});
