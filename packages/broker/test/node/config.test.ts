import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  ConfigError,
  loadConfig,
  type NodeConfig,
  settingNames,
  splitAddress,
} from '../../src/node/config.ts';

const directory = mkdtempSync(join(tmpdir(), 'seriatim-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

const complete = { nodeId: 1, dataDirectory: '/data', peers: [{ id: 1, address: 'a:7201' }] };
let files = 0;
function load(
  file: unknown,
  args: readonly string[] = [],
  environment: Record<string, string> = {},
): NodeConfig {
  const path = join(directory, `${files++}.json`);
  writeFileSync(path, typeof file === 'string' ? file : JSON.stringify(file));
  return loadConfig({ arguments: ['--config', path, ...args], environment });
}
function wrong(...given: Parameters<typeof load>): string {
  try {
    load(...given);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('it was taken');
}

describe('the configuration of a node', () => {
  test('fills in defaults and advertises where it listens', () => {
    const config = load({ ...complete, listen: { client: 'here:9000' } });
    expect(config.listen).toEqual({ client: 'here:9000', peer: '127.0.0.1:7201', http: '127.0.0.1:7301' });
    expect(config.advertise).toEqual({ client: 'here:9000', peer: '127.0.0.1:7201' });
    expect(config.raft).toEqual({ electionTimeoutMilliseconds: 1000, heartbeatMilliseconds: 100 });
    expect(Object.isFrozen(config.limits)).toBe(true);
  });

  test('takes flags before environment before file', () => {
    const file = { ...complete, logLevel: 'error', dataDirectory: '/file', retentionCheckMilliseconds: 500 };
    const environment = { SERIATIM_LOG_LEVEL: 'warn', SERIATIM_DATA_DIRECTORY: '/environment' };
    const config = load(file, ['--log-level', 'debug'], environment);
    expect(config.logLevel).toBe('debug');
    expect(config.dataDirectory).toBe('/environment');
    expect(config.retentionCheckMilliseconds).toBe(500);
  });

  test('needs no file when everything is said otherwise', () => {
    const config = loadConfig({
      arguments: ['--node-id=2', '--listen-client', '127.0.0.1:1'],
      environment: { SERIATIM_DATA_DIRECTORY: 'd', SERIATIM_PEERS: '1=a:1, 2=[::1]:7202' },
    });
    expect(config.peers).toEqual([
      { id: 1, address: 'a:1' },
      { id: 2, address: '[::1]:7202' },
    ]);
    expect(splitAddress('[::1]:7202')).toEqual({ host: '::1', port: 7202 });
  });

  test.each([
    ['dataDirectory', { ...complete, dataDirectory: undefined }],
    ['nodeId', { ...complete, nodeId: 0 }],
    ['nodeId', { ...complete, nodeId: 2 }],
    ['nodeIdd', { ...complete, nodeIdd: 1 }],
    ['listen.client', { ...complete, listen: { client: 'nowhere' } }],
    ['advertise.client', { ...complete, listen: { client: '0.0.0.0:7101' } }],
    ['advertise.peer', { ...complete, listen: { peer: '[::]:7201' } }],
    ['listen.http', { ...complete, listen: { http: 'host:70000' } }],
    ['limits.messageBytesMax', { ...complete, limits: { messageBytesMax: 1.5 } }],
    ['limits.messageBytesMax', { ...complete, limits: { messageBytesMax: 2000, requestBytesMax: 1000 } }],
    ['limits.bytes', { ...complete, limits: { bytes: 1 } }],
    ['peers', { ...complete, peers: [] }],
    ['peers', { ...complete, peers: [complete.peers[0], complete.peers[0]] }],
    ['peers.0.address', { ...complete, peers: [{ id: 1, address: 'x' }] }],
    ['raft.heartbeatMilliseconds', { ...complete, raft: { heartbeatMilliseconds: 900 } }],
    ['freeSpace.runBytesMin', { ...complete, freeSpace: { runBytesMin: 2, produceBytesMin: 1 } }],
    ['logLevel', { ...complete, logLevel: 'loud' }],
    ['--config', '{'],
    ['--config', '[]'],
  ])('refuses a wrong %s by name', (name, file) => {
    expect(wrong(file).startsWith(`${name}:`)).toBe(true);
  });

  test('names the flag or variable that is wrong', () => {
    expect(wrong(complete, ['--node-id', 'one'])).toMatch(/^--node-id: "one" must be a whole number/);
    expect(wrong(complete, [], { SERIATIM_PEERS: '1:2' })).toMatch(/^SERIATIM_PEERS: "1:2" must be/);
    expect(wrong(complete, ['--colour', 'red'])).toMatch(/^--colour: unknown flag/);
    expect(wrong(complete, ['--node-id'])).toMatch(/^--node-id: needs a value/);
    expect(() => loadConfig({ arguments: ['--config', '/nowhere'], environment: {} })).toThrow(
      /^--config: \/nowhere/,
    );
  });

  test('gives every setting a flag and a variable of its own', () => {
    expect(settingNames.find(({ setting }) => setting === 'limits.requestBytesInFlightMax')).toEqual({
      setting: 'limits.requestBytesInFlightMax',
      flag: '--limits-request-bytes-in-flight-max',
      variable: 'SERIATIM_LIMITS_REQUEST_BYTES_IN_FLIGHT_MAX',
    });
    expect(new Set(settingNames.map(({ flag }) => flag)).size).toBe(settingNames.length);
  });
});
