import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { REQUEST_TYPES } from '../src/capabilities.ts';
import { RefusalError } from '../src/errors.ts';
import { subscriptionsService } from '../src/subscription-service.ts';
import { GROUP_RESOLUTION_REPLACE, type ResolveGroupRequest } from '../src/subscription-types.ts';
import { bytesOf, field } from './request-bytes.ts';

const resolve = subscriptionsService.ResolveGroup;
const REPLACEMENT = 0x7a;

describe('subscriptionsService', () => {
  it('has every call under the path of its own service', () => {
    for (const [name, method] of Object.entries(subscriptionsService)) {
      expect(method.path).toBe(`/seriatim.v1.Subscriptions/${name}`);
    }
  });

  it('streams Consume as bytes in both directions', () => {
    const { Consume } = subscriptionsService;
    const bytes = Buffer.from([1, 2, 255]);
    expect([Consume.requestStream, Consume.responseStream]).toEqual([true, true]);
    expect(Consume.requestDeserialize(bytes)).toBe(bytes);
    expect(Consume.responseSerialize(bytes)).toBe(bytes);
  });

  it('reads back a request with a message inside', () => {
    const request: ResolveGroupRequest = {
      topic: 't',
      name: 's',
      group: 'g',
      resolution: GROUP_RESOLUTION_REPLACE,
      headSequence: 7,
      who: 'w',
      why: 'y',
      replacement: {
        key: Buffer.from('k'),
        value: Buffer.from('v'),
        messageGroup: 'g',
        headers: [{ name: 'h', value: Buffer.from('x') }],
        producerTimestampMs: 5,
      },
    };
    expect(resolve.requestDeserialize(resolve.requestSerialize(request))).toEqual(request);
  });

  it.each([
    ['an unknown field', Buffer.from([0x70, 1]), /Message, byte 0: unknown field 14/],
    ['a group twice', bytesOf(field(0x1a, 'a'), field(0x1a, 'b')), /messageGroup is given twice/],
    ['a header name that is not UTF-8', field(0x2a, field(0x0a, Buffer.from([0xff]))), /name is not UTF-8/],
  ])('refuses a message with %s inside a request', (_name, message, text) => {
    const decoded: unknown = resolve.requestDeserialize(field(REPLACEMENT, message));
    expect(decoded).toBeInstanceOf(RefusalError);
    expect(decoded).toMatchObject({ code: 'INVALID_REQUEST', message: expect.stringMatching(text) });
  });

  it('has a request type for each call', () => {
    const names = Object.keys(subscriptionsService).map((name) =>
      name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase(),
    );
    expect(Object.keys(REQUEST_TYPES)).toEqual(expect.arrayContaining(names));
  });
});
