import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Conversation } from './conversation.ts';
import { configurationOf, replicaId } from './replica.ts';
import { diskOf } from './words.ts';

/** `RAFT_GOLDEN=write` writes the files anew; read the difference before committing it. */
const rewrite = process.env['RAFT_GOLDEN'] === 'write';
const three = configurationOf([1, 2, 3]);

interface Golden {
  readonly name: string;
  readonly tell: () => Conversation;
}

function elected(voters = 3): Conversation {
  const talk = new Conversation(voters);
  talk.get(1).raft.campaign();
  talk.settle();
  talk.begin('1 leads 2 and 3 in term 1; its no-op is committed.');
  return talk;
}

const conversations: readonly Golden[] = [
  {
    name: 'election-and-commands',
    tell: () => {
      const talk = new Conversation(3);
      talk.say('Three replicas of a new shard; 1 is elected (paper 5.2).');
      talk.get(1).raft.campaign();
      talk.settle();
      talk.say('A command is proposed (paper 5.3).');
      talk.propose(1, 'a');
      talk.say('Two commands together travel together.');
      talk.propose(1, 'b', 'c');
      talk.say('A heartbeat.');
      talk.tick(2);
      return talk;
    },
  },
  {
    name: 'conflict',
    tell: () => {
      const talk = new Conversation(0);
      talk.add(1, diskOf([1, 1, 1, 4, 4, 5, 5, 6, 6, 6], three, 6));
      talk.add(2, diskOf([1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], three, 3));
      talk.add(3, diskOf([1, 1, 1, 4], three, 4));
      talk.say(
        'Logs of figure 7: 1 leads, 2 is follower (f), 3 is follower (b). Back-off goes by whole terms (5.3).',
      );
      talk.get(1).raft.campaign();
      talk.settle();
      return talk;
    },
  },
  {
    name: 'slow-disk',
    tell: () => {
      const talk = elected();
      talk.get(1).holdWrites = true;
      talk.say("The leader's disk is slow: the followers' disks are a majority, but it applies nothing yet.");
      talk.propose(1, 'a');
      talk.say('Its write completes.');
      talk.get(1).holdWrites = false;
      talk.get(1).completeWrites();
      talk.settle();
      return talk;
    },
  },
  {
    name: 'replace-the-leader',
    tell: () => {
      const talk = elected();
      talk.add(4, configurationOf([]));
      talk.say(
        '1 is to be replaced by 4: a joint configuration, left by itself, then 1 steps down (paper 6).',
      );
      talk.get(1).raft.proposeChange({ voters: [2, 3, 4].map(replicaId), learners: [] });
      talk.settle();
      return talk;
    },
  },
  {
    name: 'image',
    tell: () => {
      const talk = elected();
      talk.cut([3]);
      talk.say('3 is cut off, the others go on and compact their logs (paper 7).');
      talk.propose(1, 'a', 'b');
      talk.tick(12, [1, 2]);
      talk.get(1).checkpoint();
      talk.get(1).restart();
      talk.get(2).raft.campaign();
      talk.settle();
      talk.say('1 has restarted; 3 is back, and 1 is elected by it. It has to send an image.');
      talk.heal();
      talk.cut([2]);
      talk.get(1).raft.tick();
      for (let tick = 0; tick < 12; tick++) {
        talk.get(3).raft.tick();
        talk.get(1).raft.tick();
      }
      talk.settle();
      talk.tick(3, [1, 3]);
      return talk;
    },
  },
  {
    name: 'transfer',
    tell: () => {
      const talk = elected();
      talk.say('1 hands leadership to 2 (dissertation 3.10).');
      talk.get(1).raft.transfer(replicaId(2));
      talk.settle();
      return talk;
    },
  },
  {
    name: 'refused-leader',
    tell: () => {
      const talk = elected();
      talk.tick(2);
      talk.cut([1]);
      talk.say(
        'The node of 1 dies. 2 sees its connection refused, 3 not yet: 3 still heeds the leader it heard.',
      );
      talk.get(2).raft.nodeRefused(replicaId(1), true);
      talk.tick(1, [2, 3]);
      talk.say(
        '3 sees it, too: a voter waives the rule when its own connection is refused. 2 tries again soon.',
      );
      talk.get(3).raft.nodeRefused(replicaId(1), true);
      talk.tick(3, [2, 3]);
      return talk;
    },
  },
  {
    name: 'read-index',
    tell: () => {
      const talk = elected();
      talk.say('Two reads share a round of heartbeats (dissertation 6.4).');
      talk.get(1).raft.read(11);
      talk.get(1).raft.read(12);
      talk.settle();
      talk.say('The leader is cut off: a read is never confirmed, and dropped when check-quorum deposes it.');
      talk.cut([1]);
      talk.get(1).raft.read(13);
      talk.tick(12, [1]);
      return talk;
    },
  },
];

describe('golden conversations', () => {
  test.each(conversations)('$name is as written down', ({ name, tell }) => {
    const file = new URL(`golden/${name}.txt`, import.meta.url);
    const told = tell().text;
    if (rewrite) {
      writeFileSync(file, told);
    }
    expect(existsSync(file), `golden/${name}.txt is missing; RAFT_GOLDEN=write makes it`).toBe(true);
    expect(told).toBe(readFileSync(file, 'utf8'));
  });
});
