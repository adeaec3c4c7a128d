/** One `seriatim-node` as a child process, for `npm start` and for the tests with real processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { root } from './prepare.mjs';

/** How long a node may take after SIGTERM before it is killed. It promises 10 s. */
const stopMilliseconds = 15_000;

/** The compiled node's program. */
const program = join(root, 'packages', 'broker', 'bin', 'seriatim-node.js');

/**
 * A node that can be started, stopped, killed, frozen and started again on the same data. Nothing restarts it by itself.
 */
export class NodeProcess {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;
  /** @type {Promise<void>} resolves when the running child has ended */
  #ended = Promise.resolve();

  /**
   * @param {number} id
   * @param {string} directory the node's data; its configuration and log lie there as well
   * @param {Readonly<Record<string, unknown>>} settings what goes into node.json
   * @param {readonly string[]} [wrapper] program and arguments to run the node under, like `strace …`
   */
  constructor(id, directory, settings, wrapper = []) {
    this.id = id;
    this.directory = directory;
    this.settings = settings;
    this.wrapper = wrapper;
  }

  get configFile() {
    return join(this.directory, 'node.json');
  }

  get logFile() {
    return join(this.directory, 'node.log');
  }

  /** Process id while it runs. */
  get pid() {
    return this.#child?.pid;
  }

  get running() {
    return this.#child !== undefined;
  }

  /** Resolves when the process that runs now has ended. */
  get ended() {
    return this.#ended;
  }

  /** Writes node.json and starts the process; does not wait until it serves. */
  start() {
    if (this.#child !== undefined) throw new Error(`node ${this.id} runs already (process ${this.pid})`);
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(this.configFile, `${JSON.stringify(this.settings, null, 2)}\n`);
    const log = openSync(this.logFile, 'a');
    // The program's first line names Node's options; it is this process's Node that runs it.
    const [command = program, ...rest] = [...this.wrapper, program];
    // Its own process group: Ctrl-C reaches the starter, which stops the nodes in order.
    const child = spawn(command, [...rest, '--config', this.configFile], {
      stdio: ['ignore', log, log],
      detached: true,
      env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` },
    });
    closeSync(log);
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const gone = () => {
        if (this.#child === child) this.#child = undefined;
        resolve();
      };
      child.once('exit', gone);
      child.once('error', gone);
    });
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#child?.kill(signal);
  }

  /** kill -9, and waits until the process is gone. */
  async kill() {
    this.signal('SIGKILL');
    await this.#ended;
  }

  /**
   * SIGTERM, then SIGKILL when it does not end in time.
   * @returns {Promise<boolean>} true when it ended by itself
   */
  async stop() {
    const child = this.#child;
    if (child === undefined) return true;
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMilliseconds);
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await this.#ended;
    clearTimeout(timer);
    return child.exitCode === 0;
  }

  /** The last lines the node wrote, for a message about what went wrong. */
  logTail(lines = 15) {
    try {
      return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '(no log)';
    }
  }

  /** Removes the node's data; only for a stopped node. */
  wipe() {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * @param {number} port
 * @returns {Promise<boolean>} whether a server can listen on this port of 127.0.0.1
 */
export async function portIsFree(port) {
  const server = createServer();
  try {
    server.listen({ port, host: '127.0.0.1', exclusive: true });
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/**
 * @param {number} milliseconds
 * @returns {Promise<void>}
 */
export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Asks again and again until the answer is true.
 * @param {string} what for the message
 * @param {number} milliseconds
 * @param {() => Promise<boolean> | boolean} check a rejection counts as "not yet"
 */
export async function until(what, milliseconds, check) {
  const deadline = performance.now() + milliseconds;
  /** @type {unknown} */
  let lastError;
  while (performance.now() < deadline) {
    try {
      if (await check()) return;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    await pause(50);
  }
  const reason = lastError instanceof Error ? `: ${lastError.message}` : '';
  throw new Error(`${what} did not happen within ${milliseconds / 1000} s${reason}`);
}
