import type { NodeId, ShardId } from '@seriatim/multiraft';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TopicId } from '../../src/contracts.ts';
import { decodeCommand, encodeCommand, groupColumns } from '../../src/meta/command-codec.ts';
import { MetaFormatError } from '../../src/meta/fields.ts';
import type { MetaCommand } from '../../src/meta/model.ts';
import { topicCommand } from './fakes.ts';

const COMMANDS: MetaCommand[] = [
  { type: 'form', clusterId: 'abc', nodes: [1, 2, 3] as NodeId[] },
  {
    type: 'registerNode',
    id: 2 as NodeId,
    clientAddress: 'h:1',
    peerAddress: 'h:2',
    pid: 7,
    bootNumber: 3,
    featureLevel: 1,
  },
  topicCommand('orders', 8, 3),
  { type: 'deleteTopic', name: 'orders', token: 't', time: 5 },
  { type: 'endOperation', operation: 4, time: 6 },
  { type: 'reserveProducerIds', count: 1000 },
  { type: 'raiseFeatureLevel', level: 1 },
  { type: 'replaceReplicas', node: 3 as NodeId, token: 'x', time: 9 },
  { type: 'replicaReplaced', operation: 2, shard: 5 as ShardId, time: 9 },
];

describe('command codec', () => {
  test.each(COMMANDS)('gives back $type as it was', (command) => {
    expect(decodeCommand(encodeCommand(command))).toEqual(command);
  });

  test('gives back the names of any topics and groups', () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 40 });
    const topics = fc.array(fc.tuple(fc.nat({ max: 2 ** 31 }), fc.array(name, { maxLength: 20 })), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(topics, fc.constantFrom('assignRoutes', 'removeRoutes'), (rows, type) => {
        const columns = rows.map(([topic, names]) => groupColumns(topic as TopicId, names));
        const decoded = decodeCommand(encodeCommand({ type, topics: columns }));
        if (decoded.type !== type) throw new Error(decoded.type);
        expect(decoded.topics.map(({ topic }) => topic)).toEqual(rows.map(([topic]) => topic));
        decoded.topics.forEach(({ ends, bytes }, at) => {
          const names = [...ends].map((end, row) => bytes.slice(row === 0 ? 0 : ends[row - 1], end));
          expect(names).toEqual(rows[at]?.[1]);
        });
      }),
    );
  });

  test('refuses a version, form, type or field that it does not know', () => {
    const good = encodeCommand({ type: 'reserveProducerIds', count: 1 });
    const change = (at: number, value: number): Uint8Array => {
      const bytes = good.slice();
      bytes[at] = value;
      return bytes;
    };
    const json = (text: string): Uint8Array => Buffer.concat([Buffer.from([1, 1]), Buffer.from(text)]);
    const bad = [
      new Uint8Array(0),
      change(0, 2),
      change(1, 9),
      json('{"type":"teleport"}'),
      json('{"type":"reserveProducerIds","count":-1}'),
      json('[]'),
      json('{'),
    ];
    for (const bytes of bad) expect(() => decodeCommand(bytes)).toThrow(MetaFormatError);
  });

  test('refuses columns that are cut or changed, and never reads outside', () => {
    const good = encodeCommand({
      type: 'assignRoutes',
      topics: [groupColumns(1 as TopicId, [Buffer.from('a'), Buffer.from('bcd')])],
    });
    for (let length = 2; length < good.length; length++) {
      expect(() => decodeCommand(good.subarray(0, length))).toThrow(MetaFormatError);
    }
    fc.assert(
      fc.property(fc.nat({ max: good.length - 3 }), fc.nat({ max: 255 }), (at, value) => {
        const bytes = good.slice();
        bytes[at + 2] = value;
        try {
          decodeCommand(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MetaFormatError);
        }
      }),
    );
  });
});
