import type { NodeId } from '@seriatim/multiraft';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decideFormation,
  type FormationAnswer,
  type FormationDecision,
  firstMetaConfiguration,
  formationAnswer,
  type OwnIdentity,
  ownIdentity,
} from '../../src/meta/formation.ts';
import { decodeFormationAnswer, encodeFormationAnswer, formCluster } from '../../src/meta/forming.ts';
import { ids, ManualClock, settle } from './fakes.ts';

const EMPTY: OwnIdentity = { type: 'empty', bootNumber: 1 };
const FORMED: OwnIdentity = { type: 'formed', clusterId: 'c', bootNumber: 5 };
const LOST: OwnIdentity = { type: 'lost', clusterId: 'c', bootNumber: 7 };
const empty: FormationAnswer = { type: 'empty' };
const lost: FormationAnswer = { type: 'lost', clusterId: 'c' };
const formed = (seen: number, clusterId = 'c'): FormationAnswer => ({ type: 'formed', clusterId, seen });

function decide(node: number, own: OwnIdentity, answers: Record<number, FormationAnswer>): FormationDecision {
  return decideFormation({
    node: node as NodeId,
    configured: ids(3),
    own,
    answers: new Map(Object.entries(answers).map(([peer, answer]) => [Number(peer) as NodeId, answer])),
  });
}

describe('formation', () => {
  test.each<[string, number, OwnIdentity, Record<number, FormationAnswer>, FormationDecision]>([
    ['empty, a peer is silent', 1, EMPTY, { 2: empty }, { type: 'wait', waitsFor: [3] as NodeId[] }],
    ['empty, all are empty, lowest', 1, EMPTY, { 2: empty, 3: empty }, { type: 'draw' }],
    ['empty, all are empty', 2, EMPTY, { 1: empty, 3: empty }, { type: 'wait', waitsFor: [1] as NodeId[] }],
    ['empty, lowest has drawn', 2, EMPTY, { 1: formed(0), 3: empty }, { type: 'start', clusterId: 'c' }],
    [
      'empty lowest, others formed without it',
      1,
      EMPTY,
      { 2: formed(0), 3: formed(0) },
      { type: 'start', clusterId: 'c' },
    ],
    [
      'empty, formed peer, the other silent',
      2,
      EMPTY,
      { 1: formed(0) },
      { type: 'wait', waitsFor: [3] as NodeId[] },
    ],
    [
      'empty, seen by one peer',
      2,
      EMPTY,
      { 1: formed(0), 3: formed(4) },
      { type: 'lostIdentity', clusterId: 'c', seenBy: [3] as NodeId[], bootNumber: 5 },
    ],
    [
      'empty, seen by one peer, the other silent',
      2,
      EMPTY,
      { 3: formed(1) },
      { type: 'lostIdentity', clusterId: 'c', seenBy: [3] as NodeId[], bootNumber: 2 },
    ],
    [
      'empty, a peer has lost its memory',
      1,
      EMPTY,
      { 2: formed(0), 3: lost },
      { type: 'wait', waitsFor: [3] as NodeId[] },
    ],
    ['formed, a lost peer', 1, FORMED, { 2: lost }, { type: 'wait', waitsFor: [2, 3] as NodeId[] }],
    [
      'formed, a lost peer of elsewhere',
      1,
      { ...FORMED, clusterId: 'd' },
      { 2: lost },
      { type: 'mismatch', clusterIds: ['c', 'd'] },
    ],
    ['formed, nobody answers', 1, FORMED, {}, { type: 'wait', waitsFor: [2, 3] as NodeId[] }],
    ['formed, a formed peer', 1, FORMED, { 2: formed(4) }, { type: 'start', clusterId: 'c' }],
    [
      'formed, only empty peers',
      1,
      FORMED,
      { 2: empty, 3: empty },
      { type: 'wait', waitsFor: [2, 3] as NodeId[] },
    ],
    [
      'formed, its disk went back in time',
      1,
      FORMED,
      { 2: formed(9) },
      { type: 'lostIdentity', clusterId: 'c', seenBy: [2] as NodeId[], bootNumber: 10 },
    ],
    [
      'formed, this very boot number was seen',
      1,
      FORMED,
      { 2: formed(5) },
      { type: 'lostIdentity', clusterId: 'c', seenBy: [2] as NodeId[], bootNumber: 6 },
    ],
    [
      'formed, another cluster',
      1,
      FORMED,
      { 2: formed(0, 'd') },
      { type: 'mismatch', clusterIds: ['c', 'd'] },
    ],
    ['lost before', 1, LOST, {}, { type: 'lostIdentity', clusterId: 'c', seenBy: [], bootNumber: 7 }],
  ])('%s', (_words, node, own, answers, decision) => {
    expect(decide(node, own, answers)).toEqual(decision);
  });

  test('a single node forms its cluster and starts again by itself', () => {
    const alone = { node: 1 as NodeId, configured: ids(1), answers: new Map() };
    expect(decideFormation({ ...alone, own: EMPTY })).toEqual({ type: 'draw' });
    expect(decideFormation({ ...alone, own: FORMED })).toEqual({ type: 'start', clusterId: 'c' });
  });

  test('an empty node never starts while any peer is silent or has seen it', () => {
    const answer = fc.oneof(
      fc.constant(null),
      fc.constant(empty),
      fc.constant(lost),
      fc.nat({ max: 3 }).map((seen) => formed(seen)),
    );
    fc.assert(
      fc.property(fc.array(answer, { minLength: 2, maxLength: 6 }), fc.nat({ max: 6 }), (answers, at) => {
        const configured = ids(answers.length + 1);
        const node = configured[Math.min(at, answers.length)] as NodeId;
        const peers = configured.filter((peer) => peer !== node);
        const known = new Map<NodeId, FormationAnswer>();
        answers.forEach((one, n) => {
          if (one !== null) known.set(peers[n] as NodeId, one);
        });
        const decision = decideFormation({ node, configured, own: EMPTY, answers: known });
        if (decision.type === 'start' || decision.type === 'draw') {
          expect(known.size).toBe(peers.length);
          for (const one of known.values())
            expect(one.type === 'empty' || (one.type === 'formed' && one.seen === 0)).toBe(true);
        }
      }),
    );
  });

  test('the first five nodes vote in meta, the others learn; replica ids are node ids', () => {
    expect(firstMetaConfiguration(ids(3))).toMatchObject({ voters: [1, 2, 3], learners: [] });
    expect(firstMetaConfiguration([...ids(7)].reverse())).toMatchObject({
      voters: [1, 2, 3, 4, 5],
      learners: [6, 7],
    });
  });

  test('a node is lost from a loss of its journal until its new meta replica is in it', () => {
    const file = { clusterId: 'c', bootNumber: 3, losses: [] as number[] };
    expect(ownIdentity({ ...file, clusterId: '' }, false)).toEqual({ type: 'empty', bootNumber: 3 });
    expect(ownIdentity(file, false)).toMatchObject({ type: 'formed', clusterId: 'c', bootNumber: 3 });
    expect(ownIdentity({ ...file, losses: [3] }, false)).toMatchObject({ type: 'lost', clusterId: 'c' });
    expect(ownIdentity({ ...file, losses: [3] }, true)).toMatchObject({ type: 'formed' });
  });

  test('an answer survives its encoding, and nothing else is taken for one', () => {
    for (const answer of [empty, formed(3), lost]) {
      expect(decodeFormationAnswer(encodeFormationAnswer(answer))).toEqual(answer);
    }
    expect(() => decodeFormationAnswer(Buffer.from('{"answer":{"type":"formed"}}'))).toThrow();
  });
});

/** Nodes that form together: their answers follow from what they decided. */
function formingNodes(clock: ManualClock, up: Set<number>) {
  const own = new Map<number, OwnIdentity>(ids(3).map((node) => [node, EMPTY]));
  const seen = new Map<string, number>();
  const run = async (node: NodeId, signal: AbortSignal): Promise<string> => {
    const outcome = await formCluster(
      {
        clock,
        node,
        configured: ids(3),
        own: own.get(node) ?? EMPTY,
        drawClusterId: () => `drawn by ${node}`,
        onDecision: () => {},
        ask: async (peer) => {
          if (!up.has(peer)) return null;
          const identity = own.get(peer);
          return formationAnswer(identity ?? EMPTY, seen.get(`${peer} saw ${node}`) ?? 0);
        },
      },
      signal,
    );
    own.set(node, { type: 'formed', clusterId: outcome.clusterId, bootNumber: outcome.bootNumber });
    for (const peer of ids(3)) seen.set(`${peer} saw ${node}`, outcome.bootNumber);
    return `${outcome.type} ${outcome.clusterId}`;
  };
  return { own, run };
}

describe('forming', () => {
  test('three empty nodes come to one cluster once all are up, and a wiped one is found out', async () => {
    const clock = new ManualClock();
    const up = new Set([1, 2]);
    const cluster = formingNodes(clock, up);
    const signal = new AbortController().signal;
    let ended = 0;
    const outcomes = ids(2).map((node) =>
      cluster.run(node, signal).then((outcome) => {
        ended += 1;
        return outcome;
      }),
    );
    await clock.advance(2_000);
    expect(ended).toBe(0);
    up.add(3);
    const third = cluster.run(3 as NodeId, signal);
    await clock.advance(1_000);
    expect(await Promise.all([...outcomes, third])).toEqual(new Array(3).fill('started drawn by 1'));
    cluster.own.set(2, EMPTY);
    expect(await cluster.run(2 as NodeId, signal)).toBe('lostIdentity drawn by 1');
  });

  test('ends with SHUTTING_DOWN when it is stopped', async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const outcome = formingNodes(clock, new Set([1]))
      .run(1 as NodeId, stop.signal)
      .catch((error: unknown) => error);
    await clock.advance(1_000);
    stop.abort();
    await settle();
    expect(await outcome).toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
