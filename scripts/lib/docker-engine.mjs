/** A Docker engine to test with: the one that runs, or one of our own that leaves nothing behind. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './node-process.mjs';
import { run } from './prepare.mjs';

/**
 * @typedef {object} Engine
 * @property {NodeJS.ProcessEnv} env for docker and docker-compose
 * @property {() => Promise<void>} stop ends what was started here
 */

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
const succeeds = (program, args, env = process.env) =>
  spawnSync(program, args, { stdio: 'ignore', env, timeout: 20_000 }).status === 0;

/**
 * Installs Debian packages for programs that are missing.
 * @param {Readonly<Record<string, string>>} packages program → package
 */
export function needPrograms(packages) {
  const missing = Object.entries(packages).filter(([program]) => !succeeds('which', [program]));
  if (missing.length === 0) return;
  const names = [...new Set(missing.map(([, name]) => name))];
  if (process.getuid?.() !== 0 || !succeeds('which', ['apt-get'])) {
    throw new Error(`please install ${names.join(', ')}: that needs root on Debian, which this is not`);
  }
  console.log(`Installing ${names.join(', ')} ...`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...names];
  if (run('apt-get', install, { env }) === 0) return;
  if (run('apt-get', ['update', '-qq'], { env }) !== 0 || run('apt-get', install, { env }) !== 0) {
    throw new Error(`apt-get could not install ${names.join(', ')}`);
  }
}

/** @returns {Promise<Engine>} the running engine, or a new one with its own data, socket and bridge */
export async function dockerEngine() {
  if (succeeds('docker', ['info'])) return { env: process.env, stop: async () => {} };
  needPrograms({ docker: 'docker.io', dockerd: 'docker.io' });
  const directory = mkdtempSync(join(tmpdir(), 'seriatim-docker-'));
  const socket = `unix://${directory}/docker.sock`;
  const env = { ...process.env, DOCKER_HOST: socket };
  console.log(`No Docker engine runs; starting one in ${directory} ...`);
  const log = openSync(join(directory, 'dockerd.log'), 'a');
  mkdirSync(join(directory, 'data'));
  const paths = ['data-root=data', 'exec-root=exec', 'pidfile=dockerd.pid'].map((option) => {
    const [name, file] = option.split('=');
    return `--${name}=${join(directory, file ?? '')}`;
  });
  // Ports are published by dockerd's own proxy: no packet filter of this machine is touched.
  const network = ['--iptables=false', '--ip6tables=false', '--ip-forward=false', '--bip=172.31.250.1/24'];
  const daemon = spawn('dockerd', [...paths, '-H', socket, ...network], {
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  /** @type {Promise<void>} */
  const ended = new Promise((resolve) => {
    daemon.once('exit', () => resolve());
    daemon.once('error', () => resolve());
  });
  const stop = async () => {
    daemon.kill('SIGTERM');
    const timer = setTimeout(() => daemon.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(timer);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await until('the start of dockerd', 30_000, () => {
      if (daemon.exitCode !== null) throw new Error('dockerd ended');
      return succeeds('docker', ['info'], env);
    });
  } catch (error) {
    const lines = readFileSync(join(directory, 'dockerd.log'), 'utf8').trimEnd().split('\n').slice(-10);
    await stop();
    throw new Error(
      `no Docker engine: ${error instanceof Error ? error.message : error}\n${lines.join('\n')}`,
    );
  }
  return { env, stop };
}

/**
 * A base image with Node 24: the official one where it can be had, else Debian by debootstrap with the binary from npm.
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined} its name; undefined for the Dockerfile's default
 */
export function nodeImage(env) {
  const official = 'node:24-bookworm-slim';
  const local = 'seriatim-local/node:24';
  if (succeeds('docker', ['image', 'inspect', official], env)) return undefined;
  if (succeeds('docker', ['image', 'inspect', local], env)) return local;
  if (run('docker', ['pull', '--quiet', official], { env }) === 0) return undefined;
  console.log(`${official} can't be pulled; building a base image from Debian and npm ...`);
  needPrograms({ debootstrap: 'debootstrap' });
  const directory = mkdtempSync(join(tmpdir(), 'seriatim-base-'));
  try {
    const tree = join(directory, 'root');
    if (run('debootstrap', ['--variant=minbase', 'bookworm', tree]) !== 0)
      throw new Error('debootstrap failed');
    const cpu = process.arch === 'arm64' ? 'arm64' : 'x64';
    const install = ['install', '--silent', '--no-save', '--prefix', directory, `node-linux-${cpu}@24`];
    if (run('npm', install) !== 0) throw new Error('npm could not fetch Node 24');
    const binary = join(directory, 'node_modules', `node-linux-${cpu}`, 'bin', 'node');
    run('install', ['-m', '0755', binary, join(tree, 'usr', 'local', 'bin', 'node')]);
    const packed = `tar -C '${tree}' -c . | docker import - ${local}`;
    if (run('sh', ['-c', packed], { env }) !== 0) throw new Error('docker import failed');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return local;
}
