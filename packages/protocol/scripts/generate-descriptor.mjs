// Writes src/generated/descriptor.ts from proto/seriatim/v1/*.proto. With --check it only compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const here = dirname(fileURLToPath(import.meta.url));
const protoRoot = join(here, '..', '..', '..', 'proto');
const target = join(here, '..', 'src', 'generated', 'descriptor.ts');

const root = new protobuf.Root();
root.resolvePath = (_origin, path) => join(protoRoot, path);
root.loadSync(['seriatim/v1/broker.proto', 'seriatim/v1/subscription.proto']);
root.resolveAll();

const json = JSON.stringify(root.toJSON());
const text = [
  '// Generated from proto/seriatim/v1 by packages/protocol/scripts/generate-descriptor.mjs. Do not edit.',
  '/** The API as a protobufjs JSON descriptor, embedded so that a deployed node needs no .proto file beside it. */',
  `export const DESCRIPTOR_JSON: string =\n  ${JSON.stringify(json)};`,
  '',
].join('\n');

if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error(
      'packages/protocol/src/generated/descriptor.ts is stale: run `pnpm --filter @seriatim/protocol generate`',
    );
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
