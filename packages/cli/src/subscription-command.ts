import { userInfo } from 'node:os';
import {
  type NewSubscription,
  type Subscription,
  SubscriptionAdmin,
  type SubscriptionReset,
  type SubscriptionStart,
} from '@seriatim/client';
import { note, type Terminal, writeJson, writeTable } from './terminal.ts';
import type { CommonOptions } from './usage.ts';

/** Options of commands that change something: who did it is kept beside why. */
export interface ActorCommandOptions extends CommonOptions {
  readonly why?: string;
}

/** Options of `subscription pause` and `resume`. */
export interface PauseCommandOptions extends ActorCommandOptions {
  /** Only this group. */
  readonly group?: string;
}

/** Runs `task` with an admin of subscriptions that is closed afterwards. */
export async function withSubscriptions<T>(
  options: CommonOptions,
  task: (admin: SubscriptionAdmin) => Promise<T>,
): Promise<T> {
  const admin = new SubscriptionAdmin({ endpoints: options.endpoints });
  try {
    return await task(admin);
  } finally {
    admin.close();
  }
}

/** Options of a call. */
export const callOf = (options: CommonOptions): { readonly timeoutMilliseconds: number } => ({
  timeoutMilliseconds: options.timeout,
});

/** Options of a call that changes something: it is done by the user of this machine. */
export function actorOf(
  terminal: Terminal,
  options: ActorCommandOptions,
): { readonly timeoutMilliseconds: number; readonly who: string; readonly why: string } {
  return {
    ...callOf(options),
    who: userName(terminal.env),
    why: options.why ?? '',
  };
}

/** As the environment has it, else as the system does: services and containers often run without the former. */
function userName(env: Terminal['env']): string {
  const given = env['USER'] || env['LOGNAME'];
  if (given !== undefined && given !== '') return given;
  try {
    return userInfo().username;
  } catch {
    // A user id without an entry: nobody to name.
    return '';
  }
}

/** `subscription create` */
export async function createSubscription(
  terminal: Terminal,
  subscription: NewSubscription,
  options: CommonOptions,
): Promise<void> {
  const made = await withSubscriptions(options, (admin) => admin.create(subscription, callOf(options)));
  if (options.json) await writeJson(terminal, made);
  else await writeSubscriptions(terminal, [made]);
}

/** `subscription list` */
export async function listSubscriptions(
  terminal: Terminal,
  topic: string | undefined,
  options: CommonOptions,
): Promise<void> {
  const subscriptions = await withSubscriptions(options, (admin) => admin.list(topic, callOf(options)));
  if (options.json) await writeJson(terminal, { subscriptions });
  else await writeSubscriptions(terminal, subscriptions);
}

/** `subscription describe`: settings, then lag. */
export async function describeSubscription(
  terminal: Terminal,
  topic: string,
  name: string,
  options: CommonOptions & { readonly top: number },
): Promise<void> {
  const described = await withSubscriptions(options, (admin) =>
    admin.describe(topic, name, { ...callOf(options), topGroups: options.top }),
  );
  if (options.json) {
    await writeJson(terminal, described);
    return;
  }
  await writeSubscriptions(terminal, [described.subscription]);
  await writeLag(terminal, described);
}

/** `subscription lag`: how far it is, partition by partition, and the groups that lag most. */
export async function subscriptionLag(
  terminal: Terminal,
  topic: string,
  name: string,
  options: CommonOptions & { readonly top: number },
): Promise<void> {
  const described = await withSubscriptions(options, (admin) =>
    admin.describe(topic, name, { ...callOf(options), topGroups: options.top }),
  );
  const { partitions, groups } = described;
  const unsettled = partitions.reduce((sum, partition) => sum + partition.unsettled, 0);
  if (options.json) await writeJson(terminal, { unsettled, partitions, groups });
  else await writeLag(terminal, described);
}

/** `subscription delete` */
export async function deleteSubscription(
  terminal: Terminal,
  topic: string,
  name: string,
  options: CommonOptions,
): Promise<void> {
  await withSubscriptions(options, (admin) => admin.delete(topic, name, callOf(options)));
  await say(terminal, options, { deleted: name }, `subscription ${name} of ${topic} deleted`);
}

/** `subscription reset`: what is delivered again and left out, partition by partition. */
export async function resetSubscription(
  terminal: Terminal,
  place: { readonly topic: string; readonly name: string; readonly from: SubscriptionStart },
  options: ActorCommandOptions & { readonly dryRun: boolean },
): Promise<void> {
  const { topic, name, from } = place;
  const reset = await withSubscriptions(options, (admin) =>
    admin.reset(topic, name, from, { ...actorOf(terminal, options), dryRun: options.dryRun }),
  );
  if (options.json) await writeJson(terminal, { ...reset, dryRun: options.dryRun });
  else await writeReset(terminal, reset, options.dryRun);
}

/** `subscription pause` and `subscription resume`. */
export async function pauseSubscription(
  terminal: Terminal,
  place: { readonly topic: string; readonly name: string; readonly paused: boolean },
  options: PauseCommandOptions,
): Promise<void> {
  const { topic, name, paused } = place;
  const { group } = options;
  const how = { ...actorOf(terminal, options), group };
  await withSubscriptions(options, (admin) =>
    paused ? admin.pause(topic, name, how) : admin.resume(topic, name, how),
  );
  const what = group === undefined ? `subscription ${name} of ${topic}` : `group ${JSON.stringify(group)}`;
  await say(
    terminal,
    options,
    { paused, subscription: name, ...(group === undefined ? {} : { group }) },
    `${what} ${paused ? 'is paused' : 'goes on'}`,
  );
}

/** `subscription actions`: who did what, newest first. */
export async function subscriptionActions(
  terminal: Terminal,
  topic: string,
  name: string,
  options: CommonOptions & { readonly group?: string; readonly limit: number },
): Promise<void> {
  const { group, limit } = options;
  const actions = await withSubscriptions(options, (admin) =>
    admin.actions(topic, name, { ...callOf(options), group, limit }),
  );
  if (options.json) {
    await writeJson(terminal, { actions });
    return;
  }
  await writeTable(
    terminal,
    ['time', 'action', 'group', 'head before', 'who', 'why'],
    actions.map((one) => [
      new Date(one.timeMs).toISOString(),
      one.action,
      one.group,
      one.sequence === 0 ? '' : one.sequence,
      one.who,
      one.why,
    ]),
  );
}

/** A result that is only said: as JSON, or for people on stderr. */
export async function say(
  terminal: Terminal,
  options: CommonOptions,
  value: object,
  text: string,
): Promise<void> {
  if (options.json) await writeJson(terminal, value);
  else note(terminal, text);
}

async function writeSubscriptions(terminal: Terminal, subscriptions: readonly Subscription[]): Promise<void> {
  await writeTable(
    terminal,
    [
      'topic',
      'subscription',
      'generation',
      'from',
      'hold',
      'after failures',
      'back-off',
      'keeps unread',
      'state',
    ],
    subscriptions.map((one) => [
      one.topic,
      one.name,
      one.generation,
      startText(one.start),
      `${one.holdMilliseconds} ms`,
      `${one.maxDeliveries}: ${one.poisonPolicy}${one.deadLetterTopic === '' ? '' : ` to ${one.deadLetterTopic}`}`,
      `${one.backoffMilliseconds}…${one.backoffMaxMilliseconds} ms`,
      one.retainUnread ? 'yes' : 'no',
      one.ready ? (one.paused ? 'paused' : 'ready') : 'being changed',
    ]),
  );
}

function startText(start: SubscriptionStart): string {
  if (typeof start === 'string') return start;
  return 'offset' in start ? `offset ${start.offset}` : new Date(start.time).toISOString();
}

async function writeLag(
  terminal: Terminal,
  { partitions, groups }: Awaited<ReturnType<SubscriptionAdmin['describe']>>,
): Promise<void> {
  await writeTable(
    terminal,
    ['partition', 'unsettled', 'oldest', 'floor…end', 'behind', 'parked', 'held', 'consumers', 'lost'],
    partitions.map((one) =>
      one.code === ''
        ? [
            one.partition,
            one.unsettled,
            `${one.oldestUnsettledMs} ms`,
            `${one.floor}…${one.highWatermark}`,
            one.groupsBehind,
            one.groupsParked,
            one.groupsHeld,
            one.consumers,
            one.lost,
          ]
        : [one.partition, one.code, '', '', '', '', '', '', ''],
    ),
  );
  if (groups.length === 0) return;
  await writeTable(
    terminal,
    ['group', 'partition', 'unsettled', 'state'],
    groups.map(({ group, partition, unsettled, state }) => [group, partition, unsettled, state]),
  );
}

async function writeReset(terminal: Terminal, reset: SubscriptionReset, dryRun: boolean): Promise<void> {
  await writeTable(
    terminal,
    ['partition', 'from', 'to', 'again', 'left out'],
    reset.partitions.map((one) => [
      one.partition,
      one.fromOffset,
      one.toOffset,
      one.repeatedMessages,
      one.skippedMessages,
    ]),
  );
  note(terminal, dryRun ? 'nothing was changed' : `generation ${reset.generation}`);
}
