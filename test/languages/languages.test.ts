/** Clients in other languages, made from the .proto files alone: what docs/protocol.md promises them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.ts';
import { buildGo, buildPython, GO, missing, PYTHON } from './toolchain.ts';

const TOPIC = 'languages';
const BUILD_MILLISECONDS_MAX = 300_000;

interface Report {
  readonly ordered: boolean;
  /** Status, partition, offset and sequence of each message. */
  readonly stored: readonly (readonly number[])[];
  readonly repeated: readonly (readonly number[])[];
  readonly read: readonly (readonly [string, number, string])[];
  /** Group, sequence, value and attempt of each message that was acknowledged, in that order. */
  readonly consumed: readonly (readonly [string, number, string, number])[];
  readonly unsettled: number;
  readonly unknownTopic: Readonly<Record<string, string>>;
  readonly withoutGroup: Readonly<Record<string, string>>;
}

let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  await cluster.admin.createTopic({ name: TOPIC, partitions: 4, replicas: 3 });
});
afterAll(() => cluster?.destroy());

const languages = [
  { name: 'Python', prefix: 'python', absent: missing(PYTHON), build: buildPython, upper: true },
  { name: 'Go', prefix: 'go', absent: missing(GO), build: buildGo, upper: false },
];

for (const { name, prefix, absent, build, upper } of languages) {
  if (absent !== null) console.warn(`\n!!! The ${name} client is NOT tested: ${absent}\n`);
  describe.skipIf(absent !== null)(`a client in ${name}`, () => {
    const directory = mkdtempSync(join(tmpdir(), `seriatim-${prefix}-`));
    let report: Report;
    beforeAll(() => {
      const [program = '', ...args] = build(directory);
      const endpoint = cluster.endpoints[1] ?? '';
      const output = execFileSync(program, [...args, endpoint, TOPIC], { encoding: 'utf8', timeout: 60_000 });
      report = JSON.parse(output) as Report;
    }, BUILD_MILLISECONDS_MAX);
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    it('finds ordered produce among the capabilities and stores runs of groups', () => {
      expect(report.ordered).toBe(true);
      expect(report.stored.map(([status, , , sequence]) => [status, sequence])).toEqual(
        [1, 2, 3, 1, 2, 3].map((sequence) => [0, sequence]),
      );
    });

    it('repeats a run and gets the original receipts, marked as duplicates', () => {
      expect(report.repeated).toEqual(report.stored.map(([, ...place]) => [1, ...place]));
    });

    it('reads each group back once, in order', () => {
      for (const group of [`${prefix}-a`, `${prefix}-ü`]) {
        expect(report.read.filter(([name]) => name === group)).toEqual(
          [0, 1, 2].map((n) => [group, n + 1, `${group}-${n}`]),
        );
      }
      expect(report.read).toHaveLength(6);
    });

    it('consumes each group in order, a message that failed once more, and leaves nothing unsettled', () => {
      for (const group of [`${prefix}-a`, `${prefix}-ü`]) {
        const own = report.consumed.filter(([name]) => name === group);
        expect(own.map(([, sequence, value]) => [sequence, value])).toEqual(
          [0, 1, 2].map((n) => [n + 1, `${group}-${n}`]),
        );
      }
      expect(report.consumed.map(([, , , attempt]) => attempt).sort()).toEqual([1, 1, 1, 1, 1, 2]);
      expect(report.unsettled).toBe(0);
    });

    it('is told by status and trailers what was wrong, and that nothing was applied', () => {
      expect(report.unknownTopic).toMatchObject({
        status: upper ? 'NOT_FOUND' : 'NotFound',
        'seriatim-code': 'UNKNOWN_TOPIC',
        'seriatim-outcome': 'not-applied',
      });
      expect(report.withoutGroup).toMatchObject({
        status: upper ? 'INVALID_ARGUMENT' : 'InvalidArgument',
        'seriatim-code': 'INVALID_GROUP',
        'seriatim-outcome': 'not-applied',
      });
    });
  });
}
