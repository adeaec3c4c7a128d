/**
 * Game state: each game of noughts and crosses is a message group. Many games are played at once; whoever watches a game sees its moves
 * in the order they were made, and so the same board and the same winner as the players.
 *
 *   npm start -- --no-demo     (in another terminal)
 *   node examples/game.mjs
 */
import { Admin, Cluster, OrderedProducer, Reader } from '@seriatim/client';

const endpoints = (process.env['SERIATIM_ENDPOINTS'] ?? '127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103').split(
  ',',
);
const topic = `games-${Date.now()}`;
const games = 100;
const lines = ['012', '345', '678', '036', '147', '258', '048', '246'];

class Board {
  /** @type {string[]} */
  cells = Array.from({ length: 9 }, () => ' ');
  moves = 0;

  /** Makes a move; false when it is against the rules. @param {string} player @param {number} cell */
  play(player, cell) {
    if (this.winner !== null || player !== 'XO'[this.moves % 2] || this.cells[cell] !== ' ') return false;
    this.cells[cell] = player;
    this.moves++;
    return true;
  }

  get winner() {
    for (const line of lines) {
      const [a, b, c] = [...line].map((cell) => this.cells[Number(cell)]);
      if (a !== ' ' && a === b && b === c) return a ?? null;
    }
    return null;
  }

  get over() {
    return this.winner !== null || this.moves === 9;
  }
}

const cluster = new Cluster({ endpoints });
await new Admin({ cluster }).createTopic({ name: topic, partitions: 8, replicas: 3 });
const producer = new OrderedProducer({ cluster });

/** Two players take turns; each waits until the other's move is stored, as players do. @param {number} game */
async function playGame(game) {
  const board = new Board();
  while (!board.over) {
    const free = board.cells.flatMap((cell, index) => (cell === ' ' ? [index] : []));
    const cell = free[Math.floor(Math.random() * free.length)] ?? 0;
    const player = board.moves % 2 === 0 ? 'X' : 'O';
    await producer.sendSingleOrderedMessage(topic, `game-${game}`, player, String(cell));
    board.play(player, cell);
  }
  return board;
}
const played = await Promise.all(Array.from({ length: games }, (_, game) => playGame(game)));
await producer.close();

const watched = Array.from({ length: games }, () => new Board());
let wrong = 0;
for await (const message of new Reader({ cluster }).read({ topic, untilEnd: true })) {
  const board = watched[Number(message.group.slice('game-'.length))];
  if (!board?.play(message.key.toString(), Number(message.value.toString()))) {
    wrong++;
    console.error(`${message.group}, move ${message.sequence}: against the rules`);
  }
}
cluster.close();

const same = watched.filter((board, game) => board.cells.join() === played[game]?.cells.join()).length;
const wins = ['X', 'O'].map(
  (player) => `${player} won ${watched.filter(({ winner }) => winner === player).length}`,
);
console.log(
  `${games} games, ${watched.reduce((sum, { moves }) => sum + moves, 0)} moves: ${wins.join(', ')}`,
);
console.log(`${same} of ${games} boards are the players' own, ${wrong} moves out of order`);
if (wrong > 0 || same !== games) process.exitCode = 1;
