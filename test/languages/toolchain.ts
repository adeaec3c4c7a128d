/** Compilers of other languages, from Debian's packages: installed where that is possible, else named as missing. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../support/source-files.ts';

const INSTALL_MILLISECONDS_MAX = 420_000;
const BUILD_MILLISECONDS_MAX = 240_000;
const PROTO = ['message.proto', 'broker.proto', 'subscription.proto'].map((file) =>
  join('seriatim', 'v1', file),
);

/** What a language's client is built with. */
export interface Toolchain {
  readonly packages: readonly string[];
  /** A file of each package that says that it is there. */
  readonly files: readonly string[];
}

export const PYTHON: Toolchain = {
  packages: ['python3-grpcio', 'python3-protobuf', 'protobuf-compiler', 'protobuf-compiler-grpc'],
  files: [
    '/usr/bin/python3',
    '/usr/lib/python3/dist-packages/grpc',
    '/usr/bin/protoc',
    '/usr/bin/grpc_python_plugin',
  ],
};
export const GO: Toolchain = {
  packages: ['golang-go', 'golang-google-grpc-dev', 'golang-goprotobuf-dev', 'protobuf-compiler'],
  files: [
    '/usr/bin/go',
    '/usr/share/gocode/src/google.golang.org/grpc',
    '/usr/bin/protoc-gen-go',
    '/usr/bin/protoc',
  ],
};

/** Null when the toolchain is there, perhaps only now; else why it is not. */
export function missing(toolchain: Toolchain): string | null {
  const isThere = (): boolean => toolchain.files.every((file) => existsSync(file));
  if (isThere()) return null;
  if (!existsSync('/usr/bin/apt-get') || process.getuid?.() !== 0) {
    return `not installed: ${toolchain.packages.join(', ')} (as root on Debian the test installs them)`;
  }
  console.log(`Installing ${toolchain.packages.join(', ')} ...`);
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const options = { env, stdio: 'ignore', timeout: INSTALL_MILLISECONDS_MAX } as const;
    execFileSync('apt-get', ['update', '-q'], options);
    execFileSync(
      'apt-get',
      ['install', '-y', '-q', '--no-install-recommends', ...toolchain.packages],
      options,
    );
  } catch (error) {
    return `could not be installed: ${error instanceof Error ? error.message : error}`;
  }
  return isThere() ? null : `installed, and yet not found: ${toolchain.files.join(', ')}`;
}

/** Generates the Python client; gives the command that runs it, to be followed by endpoint and topic. */
export function buildPython(directory: string): readonly string[] {
  protoc(
    `--python_out=${directory}`,
    `--grpc_out=${directory}`,
    '--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin',
  );
  return ['/usr/bin/python3', join(repository, 'test', 'languages', 'client.py'), directory];
}

/** Generates and compiles the Go client, without modules: all it needs comes from Debian. */
export function buildGo(directory: string): readonly string[] {
  const source = join(directory, 'src');
  mkdirSync(join(source, 'client'), { recursive: true });
  protoc(`--go_out=plugins=grpc:${source}`);
  cpSync(join(repository, 'test', 'languages', 'client.go'), join(source, 'client', 'main.go'));
  const program = join(directory, 'client');
  const env = {
    ...process.env,
    GO111MODULE: 'off',
    GOFLAGS: '',
    GOTOOLCHAIN: 'local',
    GOPATH: `${directory}:/usr/share/gocode`,
    GOCACHE: join(directory, 'cache'),
  };
  // Debian's compiler belongs to Debian's libraries, whatever else is on the path.
  delete (env as NodeJS.ProcessEnv)['GOROOT'];
  run('/usr/bin/go', ['build', '-o', program, 'client'], { env });
  return [program];
}

function protoc(...outputs: readonly string[]): void {
  run('/usr/bin/protoc', ['-I', join(repository, 'proto'), ...outputs, ...PROTO], {});
}

function run(program: string, args: readonly string[], options: { readonly env?: NodeJS.ProcessEnv }): void {
  execFileSync(program, args, { ...options, stdio: 'pipe', timeout: BUILD_MILLISECONDS_MAX });
}
