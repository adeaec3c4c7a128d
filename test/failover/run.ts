/** `npm run failover`: every scenario at full length, with its figures. Exit 0 only if nothing was wrong and every bound held. */
import { cutOff, frozen, killed, leaderless, lostAnswers, type Outcome } from './scenarios.ts';

const ROUNDS = 200;
const SECONDS = 120;
const seed = Date.now() % 1_000_000;

interface Act {
  readonly name: string;
  readonly play: () => Promise<Outcome>;
  readonly holds: (figures: Outcome['figures']) => boolean;
}

const acts: readonly Act[] = [
  {
    name: 'one partition without a leader, 10,000 groups (the others keep 80 % of their rate)',
    play: () => leaderless(8),
    holds: ({ ratio = 0 }) => ratio >= 0.8,
  },
  {
    name: 'the client cut off from one leader (at most 2,000 ms, the leader stays)',
    play: cutOff,
    holds: ({ gapMilliseconds = Infinity, leaderMoved }) => gapMilliseconds <= 2_000 && leaderMoved === 0,
  },
  {
    name: 'a frozen leader (at most 3,000 ms)',
    play: frozen,
    holds: ({ gapMilliseconds = Infinity }) => gapMilliseconds <= 3_000,
  },
  {
    name: `a leader killed every 5 s for ${SECONDS} s, 1,000 groups`,
    play: () => killed(SECONDS),
    holds: ({ worstGapMilliseconds = Infinity }) => worstGapMilliseconds <= 3_000,
  },
  {
    name: `${ROUNDS} rounds of lost answers, seed ${seed}`,
    play: () => lostAnswers(ROUNDS, seed),
    holds: () => true,
  },
];

for (const { name, play, holds } of acts) {
  const { figures, wrong } = await play();
  const held = wrong.length === 0 && holds(figures);
  console.log(`${held ? 'held' : 'DID NOT HOLD'}: ${name}: ${JSON.stringify(figures)}`);
  for (const one of wrong.slice(0, 20)) console.error(`  ${one}`);
  if (!held) process.exitCode = 1;
}
