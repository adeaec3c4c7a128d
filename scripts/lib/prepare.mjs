/**
 * Makes a clone ready to run: installs the dependencies with the pinned pnpm and compiles the packages. Needs only Node
 * and npm, and does nothing that is done already.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The clone's top directory. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Written after a complete install; it names what was installed. */
const stampFile = join(root, 'node_modules', '.seriatim-installed');

/** @returns {{ packageManager: string, engines: { node: string } }} */
const manifest = () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** @returns {string[]} the manifests that an install depends on */
const manifests = () => {
  const packages = readdirSync(join(root, 'packages')).sort();
  return [
    'package.json',
    'pnpm-lock.yaml',
    ...packages.map((name) => join('packages', name, 'package.json')),
  ];
};

const installFingerprint = () => {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`);
  for (const file of manifests()) {
    if (existsSync(join(root, file))) hash.update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
};

/**
 * Runs a program in the clone and waits for it.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ readonly env?: NodeJS.ProcessEnv }} [options]
 * @returns {number} its exit code; 1 when it could not be started or died by a signal
 */
export function run(program, args, options = {}) {
  const shell = process.platform === 'win32';
  const result = spawnSync(program, args, {
    cwd: root,
    stdio: 'inherit',
    shell,
    env: options.env ?? process.env,
  });
  if (result.error !== undefined) console.error(`${program}: ${result.error.message}`);
  return result.status ?? 1;
}

/**
 * Runs a program of an installed development dependency.
 * @param {string} name as in node_modules/.bin
 * @param {readonly string[]} args
 * @returns {number} its exit code
 */
export const runTool = (name, args) => run(join(root, 'node_modules', '.bin', name), args);

/**
 * Runs a TypeScript file from its source.
 * @param {string} file from the clone's top
 * @param {readonly string[]} args
 * @returns {number} its exit code
 */
export const runSource = (file, args) =>
  run(process.execPath, ['--import', 'tsx', '--conditions=seriatim-source', join(root, file), ...args]);

/** Exits with a message when Node is too old, before anything fails in a way that is hard to read. */
export function checkNodeVersion() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const enough = major > 20 || (major === 20 && minor >= 19);
  if (enough) return;
  console.error(`Seriatim needs Node ${manifest().engines.node}; this is ${process.version}.`);
  process.exit(1);
}

/**
 * How to call the pinned pnpm, which need not be installed.
 * @param {readonly string[]} args for pnpm
 * @returns {readonly [string, readonly string[]]} program and arguments
 */
export function pnpmCommand(args) {
  // The hash behind the version is for corepack; npm checks its own.
  const version = manifest().packageManager.split('+')[0] ?? 'pnpm';
  return ['npx', ['--yes', version, ...args]];
}

/**
 * Installs the locked dependencies if they are not installed.
 * @returns {number} exit code
 */
export function install() {
  const fingerprint = installFingerprint();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === fingerprint) return 0;
  const [npx, args] = pnpmCommand(['install', '--frozen-lockfile', '--prefer-offline']);
  console.log(`Installing the locked dependencies with ${args[1]} ...`);
  const code = run(npx, args);
  if (code === 0) writeFileSync(stampFile, fingerprint);
  return code;
}

/**
 * Compiles what changed since the last build.
 * @returns {number} exit code
 */
export function build() {
  const first = !existsSync(join(root, 'packages', 'raft', 'dist'));
  if (first) console.log('Compiling the packages ...');
  return runTool('tsc', ['-b', 'tsconfig.build.json']);
}

/** Node version, install, build; exits with a message when one of them fails. */
export function prepare() {
  checkNodeVersion();
  if (install() !== 0) {
    console.error('The dependencies could not be installed; see the lines above.');
    process.exit(1);
  }
  if (build() !== 0) {
    console.error('The packages do not compile; see the lines above.');
    process.exit(1);
  }
}
