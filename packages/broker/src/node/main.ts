/** The program `seriatim-node`: runs a node until a signal or a fault ends it, or shows what lies on a stopped node's disk. */
import { ConfigError, loadConfig, type NodeConfig } from './config.ts';
import { dump } from './dump.ts';
import { type Logger, openLog } from './log.ts';
import { RealClock } from './real-clock.ts';
import { type RunningNode, startNode } from './start.ts';
import { VERSION } from './version.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const USAGE = `seriatim-node ${VERSION}
  seriatim-node --config FILE [--node-id N] [--data-directory DIR] …   runs a node
  seriatim-node dump --journal|--segments|--image DIR                  shows the files of a stopped node
Every setting has a flag (--listen-client) and a variable (SERIATIM_LISTEN_CLIENT); flags go before variables before the file.
`;

/** Runs the program with the arguments behind its name. */
export async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(USAGE);
    return;
  }
  if (args[0] === 'dump') {
    process.exitCode = await dump(args.slice(1));
    return;
  }
  let config: NodeConfig;
  try {
    config = loadConfig({ arguments: args, environment: process.env });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`seriatim-node: ${error.message}\n`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  await run(config);
}

async function run(config: NodeConfig): Promise<void> {
  const log = openLog(config.logLevel, config.nodeId);
  log.info({ config, version: VERSION, pid: process.pid }, 'starting');
  const fail = failOnce(log);
  process.on('uncaughtException', (error) => fail(error, 'a bug: the process ends'));
  process.on('unhandledRejection', (reason) => fail(asError(reason), 'a bug: the process ends'));
  const starting = new AbortController();
  let running: RunningNode | null = null;
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    // What does not end by itself is ended: a node must not outlive the time it promised.
    setTimeout(
      () => fail(new Error('stopping took too long'), 'the process ends'),
      config.shutdownMilliseconds,
    ).unref();
    starting.abort();
    if (running !== null) void finish(running, log);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    running = await startNode({
      config,
      log,
      clock: new RealClock(),
      onFault: (error) => fail(error, 'a fault: the node stops and takes no part until people have looked'),
      signal: starting.signal,
    });
    if (stopping) await finish(running, log);
  } catch (error) {
    if (!stopping) fail(asError(error), 'the start failed');
    log.info('stopped before it had started');
    process.exit(0);
  }
}

async function finish(running: RunningNode, log: Logger): Promise<void> {
  await running.stop();
  log.info('stopped');
  process.exit(0);
}

function failOnce(log: Logger): (error: Error, what: string) => void {
  let failed = false;
  return (error, what) => {
    if (failed) return;
    failed = true;
    log.fatal({ err: error }, what);
    process.exit(EXIT_FAILED);
  };
}

const asError = (value: unknown): Error => (value instanceof Error ? value : new Error(String(value)));
