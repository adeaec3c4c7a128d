import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { GroupResolution } from '@seriatim/client';
import { type ActorCommandOptions, actorOf, callOf, say, withSubscriptions } from './subscription-command.ts';
import { type Terminal, write, writeJson, writeTable } from './terminal.ts';
import { type CommonOptions, UsageError } from './usage.ts';

/** A group of a subscription. */
export interface GroupPlace {
  readonly topic: string;
  readonly subscription: string;
  readonly group: string;
}

/** Options of `group resolve`: exactly one of the first four. */
export interface ResolveCommandOptions extends ActorCommandOptions {
  readonly retry?: boolean;
  readonly skip?: boolean;
  readonly discard?: boolean;
  /** A file with the new value; - is standard input. */
  readonly replace?: string;
  /** The head that is meant. */
  readonly head?: number;
}

const time = (milliseconds: number): string =>
  milliseconds === 0 ? '' : new Date(milliseconds).toISOString();

/** `group explain` */
export async function explainGroup(
  terminal: Terminal,
  place: GroupPlace,
  options: CommonOptions,
): Promise<void> {
  const { topic, subscription, group } = place;
  const found = await withSubscriptions(options, (admin) =>
    admin.explainGroup(topic, subscription, group, callOf(options)),
  );
  if (options.json) {
    await writeJson(terminal, found);
    return;
  }
  const rows: (readonly [string, string | number])[] = [
    ['group', found.group],
    ['partition', found.partition],
    ['state', found.state],
    ['since', time(found.sinceMs)],
    ['until', time(found.untilMs)],
    ['settled', `${found.settledSequence} of ${found.lastSequence}`],
    ['failures of the head', found.failures],
    [
      'held by',
      found.consumer === '' ? '' : `${found.consumer}, token ${found.tokenEpoch}.${found.tokenCounter}`,
    ],
    ['delivered to it', found.deliveredSequence === 0 ? '' : `up to ${found.deliveredSequence}`],
    ['why', found.why],
    ['next', found.next],
  ];
  const told = rows.filter(([, value]) => value !== '').map(([name, value]) => [name, value]);
  await writeTable(terminal, ['', 'now'], told);
}

/** `group parked`: one line a group, as they come. */
export async function parkedGroups(
  terminal: Terminal,
  topic: string,
  subscription: string,
  options: CommonOptions,
): Promise<void> {
  await withSubscriptions(options, async (admin) => {
    if (!options.json)
      await write(terminal.stdout, 'partition\thead\twaiting\tfailures\tsince\tgroup\treason\n');
    for await (const one of admin.parkedGroups(topic, subscription, callOf(options))) {
      if (options.json) await writeJson(terminal, one);
      else {
        const { partition, headSequence, waiting, failures, sinceMs, group, reason } = one;
        const line = [
          partition,
          headSequence,
          waiting,
          failures,
          time(sinceMs),
          JSON.stringify(group),
          JSON.stringify(reason),
        ];
        await write(terminal.stdout, `${line.join('\t')}\n`);
      }
    }
  });
}

/** `group rewind` */
export async function rewindGroup(
  terminal: Terminal,
  place: GroupPlace & { readonly sequence: number },
  options: ActorCommandOptions,
): Promise<void> {
  const { topic, subscription, group, sequence } = place;
  const repeated = await withSubscriptions(options, (admin) =>
    admin.rewindGroup(topic, subscription, group, sequence, actorOf(terminal, options)),
  );
  await say(terminal, options, { group, sequence, repeated }, `${repeated} messages are delivered again`);
}

/** `group resolve` */
export async function resolveGroup(
  terminal: Terminal,
  place: GroupPlace,
  options: ResolveCommandOptions,
): Promise<void> {
  const { topic, subscription, group } = place;
  const resolution = await resolutionOf(options);
  const result = await withSubscriptions(options, (admin) =>
    admin.resolveGroup(topic, subscription, group, resolution, {
      ...actorOf(terminal, options),
      headSequence: options.head,
    }),
  );
  const text = `${result.settled} messages settled without delivery, ${result.waiting} are delivered now`;
  await say(terminal, options, { group, resolution: resolution.type, ...result }, text);
}

async function resolutionOf({
  retry,
  skip,
  discard,
  replace,
}: ResolveCommandOptions): Promise<GroupResolution> {
  const given = [retry && 'retry', skip && 'skip', discard && 'discard', replace !== undefined && 'replace'];
  const [type, ...more] = given.filter((name) => typeof name === 'string');
  if (type === undefined || more.length > 0) {
    throw new UsageError('give one of --retry, --skip, --replace FILE and --discard');
  }
  if (type !== 'replace') return { type: type as 'retry' | 'skip' | 'discard' };
  const value = replace === '-' ? await buffer(process.stdin) : await readFile(replace ?? '');
  return { type: 'replace', value };
}
