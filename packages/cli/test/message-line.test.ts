import { Buffer } from 'node:buffer';
import type { StoredMessage } from '@seriatim/client';
import { expect, test } from 'vitest';
import { lineOf } from '../src/message-line.ts';

const message: StoredMessage = {
  topic: 't',
  partition: 1,
  offset: 2,
  group: 'g',
  sequence: 3,
  life: 1,
  timestamp: 4,
  key: Buffer.from('k'),
  value: Buffer.from('v'),
  producerTimestamp: 0,
  headers: [],
};

test('a message without headers has the line that it always had', () => {
  expect(lineOf(message)).toBe(
    '{"partition":1,"offset":2,"group":"g","sequence":3,"timestamp":4,"key":"k","value":"v"}\n',
  );
});

test('headers keep their order and repeated names, as text where it is UTF-8, else as base64', () => {
  // A part of other bytes, as a response's are.
  const binary = Uint8Array.of(0x41, 0xff, 0xfe, 0x42).subarray(1, 3);
  const headers = [
    { name: 'tag', value: Buffer.from('ü') },
    { name: 'raw', value: binary },
    { name: 'tag', value: Buffer.alloc(0) },
  ];
  expect(lineOf({ ...message, headers }, { attempt: 1 })).toBe(
    '{"partition":1,"offset":2,"group":"g","sequence":3,"timestamp":4,"attempt":1,' +
      '"headers":[{"name":"tag","value":"ü"},{"name":"raw","valueBase64":"//4="},{"name":"tag","value":""}],' +
      '"key":"k","value":"v"}\n',
  );
});

test('a value that is no text is base64', () => {
  expect(JSON.parse(lineOf({ ...message, value: Buffer.of(0xff, 0xfe) }))).toMatchObject({
    valueBase64: '//4=',
  });
});
