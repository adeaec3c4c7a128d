/**
 * A node's configuration: flags before environment before file, validated once, then frozen. A setting that is wrong is refused
 * with its name.
 */
import { readFileSync } from 'node:fs';
import { type Settings, settingsSchema } from './settings.ts';

/** A validated configuration. Addresses are host:port. */
export type NodeConfig = Omit<Settings, 'advertise'> & {
  readonly advertise: { readonly client: string; readonly peer: string };
};

/** A setting that is wrong, with its name; the process ends with exit code 2. */
export class ConfigError extends Error {
  readonly setting: string;

  constructor(setting: string, message: string) {
    super(`${setting}: ${message}`);
    this.name = 'ConfigError';
    this.setting = setting;
  }
}

/** Where a value may come from; the text of environment and flags is read as the setting wants it. */
export interface ConfigSources {
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

type Tree = Record<string, unknown>;

/** Settings that are given as one text each; `peers` is `1=host:port,2=host:port`. */
const SETTINGS: readonly { readonly path: readonly string[]; readonly kind: 'text' | 'number' | 'peers' }[] =
  [
    { path: ['nodeId'], kind: 'number' },
    { path: ['dataDirectory'], kind: 'text' },
    { path: ['listen', 'client'], kind: 'text' },
    { path: ['listen', 'peer'], kind: 'text' },
    { path: ['listen', 'http'], kind: 'text' },
    { path: ['advertise', 'client'], kind: 'text' },
    { path: ['advertise', 'peer'], kind: 'text' },
    { path: ['peers'], kind: 'peers' },
    { path: ['limits', 'messageBytesMax'], kind: 'number' },
    { path: ['limits', 'requestBytesMax'], kind: 'number' },
    { path: ['limits', 'requestMessagesMax'], kind: 'number' },
    { path: ['limits', 'requestBytesInFlightMax'], kind: 'number' },
    { path: ['raft', 'electionTimeoutMilliseconds'], kind: 'number' },
    { path: ['raft', 'heartbeatMilliseconds'], kind: 'number' },
    { path: ['retentionCheckMilliseconds'], kind: 'number' },
    { path: ['freeSpace', 'produceBytesMin'], kind: 'number' },
    { path: ['freeSpace', 'runBytesMin'], kind: 'number' },
    { path: ['logLevel'], kind: 'text' },
    { path: ['shutdownMilliseconds'], kind: 'number' },
  ];

/** Names of a setting in the three sources. */
export interface SettingNames {
  readonly setting: string;
  readonly flag: string;
  readonly variable: string;
}

/** All settings by name, as the documentation lists them. */
export const settingNames: readonly SettingNames[] = SETTINGS.map(({ path }) => namesOf(path));

/** Reads, merges and validates. Throws a {@link ConfigError}. */
export function loadConfig(sources: ConfigSources): NodeConfig {
  const flags = readFlags(sources.arguments);
  const file = flags.get('--config') ?? sources.environment['SERIATIM_CONFIG'];
  const tree: Tree = file === undefined ? {} : readFile(file);
  for (const setting of SETTINGS) {
    const { flag, variable } = namesOf(setting.path);
    const fromFlag = flags.get(flag);
    const text = fromFlag ?? sources.environment[variable];
    if (text === undefined) continue;
    set(tree, setting.path, parse(setting.kind, text, fromFlag === undefined ? variable : flag));
  }
  return validate(tree);
}

function namesOf(path: readonly string[]): SettingNames {
  const words = path.flatMap((part) => part.split(/(?=[A-Z])/)).map((word) => word.toLowerCase());
  return {
    setting: path.join('.'),
    flag: `--${words.join('-')}`,
    variable: `SERIATIM_${words.join('_').toUpperCase()}`,
  };
}

function readFlags(args: readonly string[]): Map<string, string> {
  const known = new Set(['--config', ...settingNames.map(({ flag }) => flag)]);
  const flags = new Map<string, string>();
  for (let at = 0; at < args.length; at++) {
    const [flag = '', inline] = splitOnce(args[at] ?? '', '=');
    if (!known.has(flag)) throw new ConfigError(flag, `unknown flag; known are ${[...known].join(' ')}`);
    const value = inline ?? args[++at];
    if (value === undefined) throw new ConfigError(flag, 'needs a value');
    flags.set(flag, value);
  }
  return flags;
}

function readFile(path: string): Tree {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ConfigError(
      '--config',
      `${path} can't be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (!isTree(content)) throw new ConfigError('--config', `${path} must hold one JSON object`);
  return content;
}

function parse(kind: 'text' | 'number' | 'peers', text: string, name: string): unknown {
  if (kind === 'text') return text;
  if (kind === 'number') {
    if (!/^\d+$/.test(text)) throw new ConfigError(name, `${JSON.stringify(text)} must be a whole number`);
    return Number(text);
  }
  return text.split(',').map((part) => {
    const [id = '', address] = splitOnce(part.trim(), '=');
    if (!/^\d+$/.test(id) || address === undefined) {
      throw new ConfigError(name, `${JSON.stringify(part)} must be ID=HOST:PORT`);
    }
    return { id: Number(id), address };
  });
}

function set(tree: Tree, path: readonly string[], value: unknown): void {
  let at = tree;
  for (const part of path.slice(0, -1)) {
    const next = at[part];
    const inner: Tree = isTree(next) ? next : {};
    at[part] = inner;
    at = inner;
  }
  at[path.at(-1) ?? ''] = value;
}

function validate(tree: Tree): NodeConfig {
  const parsed = settingsSchema.safeParse(tree);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys : [];
    const setting = [...(issue?.path ?? []), ...unknown.slice(0, 1)].join('.');
    throw new ConfigError(setting || 'configuration', issue?.message ?? 'is not valid');
  }
  const { advertise, ...rest } = parsed.data;
  const config: NodeConfig = {
    ...rest,
    advertise: {
      client: advertise.client ?? rest.listen.client,
      peer: advertise.peer ?? rest.listen.peer,
    },
  };
  checkTogether(config);
  return deepFreeze(config);
}

/** Rules over several settings. */
function checkTogether(config: NodeConfig): void {
  const ids = config.peers.map((peer) => peer.id);
  if (new Set(ids).size !== ids.length) throw new ConfigError('peers', 'two peers have the same id');
  if (!ids.includes(config.nodeId)) {
    throw new ConfigError('nodeId', `${config.nodeId} is not among the peers (${ids.join(', ')})`);
  }
  for (const side of ['client', 'peer'] as const) {
    const { host } = splitAddress(config.advertise[side]);
    if (host !== '0.0.0.0' && host !== '::') continue;
    throw new ConfigError(
      `advertise.${side}`,
      `${config.advertise[side]} is no address that others can reach; say the one they use`,
    );
  }
  const { electionTimeoutMilliseconds, heartbeatMilliseconds } = config.raft;
  if (heartbeatMilliseconds * 3 > electionTimeoutMilliseconds) {
    throw new ConfigError(
      'raft.heartbeatMilliseconds',
      `${heartbeatMilliseconds} is more than a third of raft.electionTimeoutMilliseconds (${electionTimeoutMilliseconds})`,
    );
  }
  if (config.limits.messageBytesMax > config.limits.requestBytesMax) {
    throw new ConfigError(
      'limits.messageBytesMax',
      `${config.limits.messageBytesMax} is more than limits.requestBytesMax (${config.limits.requestBytesMax})`,
    );
  }
  if (config.freeSpace.runBytesMin > config.freeSpace.produceBytesMin) {
    throw new ConfigError(
      'freeSpace.runBytesMin',
      `${config.freeSpace.runBytesMin} is more than freeSpace.produceBytesMin (${config.freeSpace.produceBytesMin})`,
    );
  }
}

/** An address in its two parts; brackets of an IPv6 host are taken off. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
