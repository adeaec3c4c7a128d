import { readConfiguration } from './configuration.ts';
import { invariant } from './invariant.ts';
import type { Configuration, Entry, Index } from './types.ts';

interface Version {
  readonly index: Index;
  readonly configuration: Configuration;
}

/**
 * The configurations of the log. The newest one counts from the moment it is appended, committed or not (paper 6), and
 * the one before counts again when it is truncated.
 */
export class ConfigurationHistory {
  /** Ascending; the first is committed. Never empty. */
  #versions: Version[];

  constructor(index: Index, configuration: Configuration) {
    this.#versions = [{ index, configuration }];
  }

  /** The one in effect. */
  get current(): Configuration {
    return this.#newest.configuration;
  }

  /** Index of the entry that brought it; an image's index when none did. */
  get index(): Index {
    return this.#newest.index;
  }

  /** An entry was appended. True when it changed the configuration. */
  append(entry: Entry): boolean {
    if (entry.type !== 'configuration') {
      return false;
    }
    const configuration = readConfiguration(entry.data);
    invariant(configuration !== null, `the configuration at ${entry.index} was checked when it came in`);
    this.#versions.push({ index: entry.index, configuration });
    return true;
  }

  /** `index` and everything behind it left the log. True when that changed the configuration. */
  truncateFrom(index: Index): boolean {
    const before = this.#versions.length;
    while (this.#versions.length > 1 && this.#newest.index >= index) {
      this.#versions.pop();
    }
    return this.#versions.length !== before;
  }

  /** What can't be truncated any more needs no predecessor. */
  committedTo(commit: Index): void {
    while (this.#versions.length > 1 && (this.#versions[1]?.index ?? commit + 1) <= commit) {
      this.#versions.shift();
    }
  }

  /** True when some configuration that may still count fulfils `holds`: the committed one or one behind it. */
  some(holds: (configuration: Configuration) => boolean): boolean {
    return this.#versions.some((version) => holds(version.configuration));
  }

  get #newest(): Version {
    const newest = this.#versions[this.#versions.length - 1];
    invariant(newest !== undefined, 'there is always a configuration');
    return newest;
  }
}
