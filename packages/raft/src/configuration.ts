import type { Configuration, ConfigurationChange, ReplicaId } from './types.ts';

/** First byte of an encoded configuration. */
const CONFIGURATION_VERSION = 1;

/** A configuration without members: the replica waits to be contacted. */
export const EMPTY_CONFIGURATION: Configuration = Object.freeze({
  voters: [],
  outgoing: [],
  learners: [],
  learnersNext: [],
});

/** True while a change is half done (paper 6, "joint consensus"). */
export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

/** True when `replica` votes in either half. */
export function isVoter(configuration: Configuration, replica: ReplicaId): boolean {
  return configuration.voters.includes(replica) || configuration.outgoing.includes(replica);
}

/** Everyone that votes in either half, each once. */
export function votersOf(configuration: Configuration): ReplicaId[] {
  return [...new Set([...configuration.voters, ...configuration.outgoing])];
}

/** Everyone that gets the log, each once. */
export function membersOf(configuration: Configuration): ReplicaId[] {
  const { voters, outgoing, learners, learnersNext } = configuration;
  return [...new Set([...voters, ...outgoing, ...learners, ...learnersNext])];
}

/** What is wrong with a change; null: nothing. */
export function changeFault(change: ConfigurationChange): string | null {
  const all = [...change.voters, ...change.learners];
  if (change.voters.length === 0) {
    return 'no voter would be left';
  }
  if (new Set(all).size !== all.length) {
    return 'a replica is named twice';
  }
  return all.every((replica) => Number.isSafeInteger(replica) && replica > 0)
    ? null
    : 'a replica id is not a positive whole number';
}

/**
 * The configuration that begins a change: joint when voters change, else the final one at once. A voter that becomes
 * a learner stays a voter of the outgoing half until the end (`learnersNext`).
 */
export function beginChange(current: Configuration, change: ConfigurationChange): Configuration {
  const voters = sorted(change.voters);
  const learners = sorted(change.learners);
  if (voters.join() === sorted(current.voters).join()) {
    return { voters, outgoing: [], learners, learnersNext: [] };
  }
  const outgoing = sorted(current.voters);
  return {
    voters,
    outgoing,
    learners: learners.filter((replica) => !outgoing.includes(replica)),
    learnersNext: learners.filter((replica) => outgoing.includes(replica)),
  };
}

/** The configuration that ends a joint one. */
export function endChange(joint: Configuration): Configuration {
  const learners = sorted([...joint.learners, ...joint.learnersNext]);
  return { voters: joint.voters, outgoing: [], learners, learnersNext: [] };
}

/** Bytes of a `configuration` entry: a version, then the four lists, each a count and ids as unsigned LEB128. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const bytes: number[] = [CONFIGURATION_VERSION];
  for (const list of listsOf(configuration)) {
    pushNumber(bytes, list.length);
    for (const replica of list) {
      pushNumber(bytes, replica);
    }
  }
  return Uint8Array.from(bytes);
}

/** Reads what {@link encodeConfiguration} wrote; throws for anything else. */
export function decodeConfiguration(data: Uint8Array): Configuration {
  const configuration = readConfiguration(data);
  if (configuration === null) {
    throw new Error(`not a configuration of version ${CONFIGURATION_VERSION}: ${data.length} bytes`);
  }
  return configuration;
}

/** Like {@link decodeConfiguration}, for bytes of a peer: null instead of an error. */
export function readConfiguration(data: Uint8Array): Configuration | null {
  const cursor = { data, position: 1 };
  if (data[0] !== CONFIGURATION_VERSION) {
    return null;
  }
  const voters = readList(cursor);
  const outgoing = readList(cursor);
  const learners = readList(cursor);
  const learnersNext = readList(cursor);
  if (voters === null || outgoing === null || learners === null || learnersNext === null) {
    return null;
  }
  return cursor.position === data.length ? { voters, outgoing, learners, learnersNext } : null;
}

function listsOf(configuration: Configuration): readonly (readonly ReplicaId[])[] {
  return [configuration.voters, configuration.outgoing, configuration.learners, configuration.learnersNext];
}

function sorted(replicas: readonly ReplicaId[]): ReplicaId[] {
  return [...replicas].sort((a, b) => a - b);
}

function pushNumber(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
}

interface Cursor {
  readonly data: Uint8Array;
  position: number;
}

function readList(cursor: Cursor): ReplicaId[] | null {
  const count = readNumber(cursor);
  if (count === null || count > cursor.data.length) {
    return null;
  }
  const list: ReplicaId[] = [];
  for (let i = 0; i < count; i++) {
    const value = readNumber(cursor);
    if (value === null || value === 0) {
      return null;
    }
    list.push(value as ReplicaId);
  }
  return list;
}

function readNumber(cursor: Cursor): number | null {
  let value = 0;
  let scale = 1;
  for (;;) {
    const byte = cursor.data[cursor.position];
    if (byte === undefined) {
      return null;
    }
    cursor.position++;
    value += (byte % 128) * scale;
    if (!Number.isSafeInteger(value)) {
      return null;
    }
    if (byte < 128) {
      return value;
    }
    scale *= 128;
  }
}
