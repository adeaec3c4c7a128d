/** The commands `subscription …` and `group …`, with their arguments and options. */
import type { SubscriptionStart } from '@seriatim/client';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { explainGroup, parkedGroups, resolveGroup, rewindGroup } from './group-command.ts';
import {
  createSubscription,
  deleteSubscription,
  describeSubscription,
  listSubscriptions,
  pauseSubscription,
  resetSubscription,
  subscriptionActions,
  subscriptionLag,
} from './subscription-command.ts';
import type { Terminal } from './terminal.ts';
import { duration, wholeNumber } from './usage.ts';

type Leaf = (parent: Command, usage: string, description: string) => Command;

const PLACES = 'earliest, latest, an offset, or a time such as 2026-01-31T12:00:00Z';
/** A time of ISO 8601: a day in UTC, or with a time of day, in the zone of this machine when it names none. */
const ISO_TIME = /^(\d{4}-\d\d-\d\d)(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?$/;
const WHY = ['--why <text>', 'kept with the action, beside the user name'] as const;

/** Adds them to the program. */
export function addSubscriptionCommands(root: Command, leaf: Leaf, terminal: Terminal): void {
  const subscription = root
    .command('subscription')
    .description('Durable positions in a topic, shared by consumers.');
  addDefinitions(subscription, leaf, terminal);
  addPositions(subscription, leaf, terminal);
  addGroups(root.command('group').description('One message group in a subscription.'), leaf, terminal);
}

function addDefinitions(subscription: Command, leaf: Leaf, terminal: Terminal): void {
  leaf(subscription, 'create <topic> <name>', 'Make one; returns when its start is pinned in each partition.')
    .option('--from <place>', PLACES, startOf, 'earliest')
    .option(
      '--max-deliveries <n>',
      'failures of a message after which it counts as poison (5)',
      wholeNumber(1, 1000),
    )
    .addOption(
      new Option('--poison <policy>', 'what happens to poison').choices(['park', 'skip']).default('park'),
    )
    .option('--dead-letter-topic <topic>', 'where --poison skip sends it')
    .option('--hold <time>', 'a group is held that long without an answer, such as 30s (30s)', duration)
    .option('--retain-unread', 'retention keeps what is not settled', false)
    .option('--backoff <time>', 'first pause after a failure; doubles each time (100ms)', duration)
    .option('--backoff-max <time>', 'longest pause (30s)', duration)
    .action((topic, name, options) => {
      const {
        from: start,
        maxDeliveries,
        deadLetterTopic,
        hold,
        retainUnread,
        backoff,
        backoffMax,
      } = options;
      const definition = {
        topic,
        name,
        start,
        maxDeliveries,
        poisonPolicy: options.poison,
        deadLetterTopic,
        holdMilliseconds: hold,
        retainUnread,
        backoffMilliseconds: backoff,
        backoffMaxMilliseconds: backoffMax,
      };
      return createSubscription(terminal, definition, options);
    });
  leaf(subscription, 'list [topic]', 'Those of a topic, or all.').action((topic, options) =>
    listSubscriptions(terminal, topic, options),
  );
  leaf(subscription, 'describe <topic> <name>', 'Settings, lag, and the groups that lag most.')
    .option('--top <n>', 'so many groups', wholeNumber(0, 1000), 10)
    .action((topic, name, options) => describeSubscription(terminal, topic, name, options));
  leaf(subscription, 'delete <topic> <name>', 'Delete it with its progress.').action((topic, name, options) =>
    deleteSubscription(terminal, topic, name, options),
  );
  leaf(subscription, 'actions <topic> <name>', 'Who did what to it and its groups, newest first.')
    .option('--group <group>', 'only to this group', groupName)
    .option('--limit <n>', 'so many', wholeNumber(1, 1000), 100)
    .action((topic, name, options) => subscriptionActions(terminal, topic, name, options));
}

function addPositions(subscription: Command, leaf: Leaf, terminal: Terminal): void {
  leaf(subscription, 'lag <topic> <name>', 'How far it is, and the groups that lag most.')
    .option('--top <n>', 'so many groups', wholeNumber(0, 1000), 10)
    .action((topic, name, options) => subscriptionLag(terminal, topic, name, options));
  leaf(subscription, 'reset <topic> <name>', 'Move it to another place, forgetting all cursors.')
    .requiredOption('--from <place>', PLACES, startOf)
    .option('--dry-run', 'only say what would be delivered again and left out', false)
    .option(...WHY)
    .action((topic, name, options) =>
      resetSubscription(terminal, { topic, name, from: options.from }, options),
    );
  for (const [command, paused, text] of [
    ['pause', true, 'Stop delivery; what is held may still be settled.'],
    ['resume', false, 'End a pause.'],
  ] as const) {
    leaf(subscription, `${command} <topic> <name>`, text)
      .option('--group <group>', 'only this group', groupName)
      .option(...WHY)
      .action((topic, name, options) => pauseSubscription(terminal, { topic, name, paused }, options));
  }
}

function addGroups(root: Command, leaf: Leaf, terminal: Terminal): void {
  leaf(root, 'explain <topic> <subscription> <group>', 'What it does, why, and what happens next.').action(
    (topic, subscription, group, options) => explainGroup(terminal, { topic, subscription, group }, options),
  );
  leaf(root, 'parked <topic> <subscription>', 'The groups that wait for an operator.').action(
    (topic, subscription, options) => parkedGroups(terminal, topic, subscription, options),
  );
  leaf(root, 'rewind <topic> <subscription> <group> <sequence>', 'Deliver it again from a sequence on.')
    .option(...WHY)
    .action((topic, subscription, group, sequence, options) => {
      const place = { topic, subscription, group, sequence: wholeNumber(1)(sequence) };
      return rewindGroup(terminal, place, options);
    });
  leaf(root, 'resolve <topic> <subscription> <group>', 'Take a parked group up again.')
    .option('--retry', 'deliver its head again')
    .option('--skip', 'settle its head, go on behind it')
    .option('--replace <file>', 'deliver this value in place of its head; - is standard input')
    .option('--discard', 'settle all that is stored of it')
    .option('--head <sequence>', 'only if this is its head', wholeNumber(1))
    .option(...WHY)
    .action((topic, subscription, group, options) =>
      resolveGroup(terminal, { topic, subscription, group }, options),
    );
}

/** A group that is named: an empty one, as of a variable that is not set, must not stand for all of them. */
export function groupName(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('the group is empty; leave --group out to mean all.');
}

/** A place as people write it, for commander. */
export function startOf(text: string): SubscriptionStart {
  if (text === 'earliest' || text === 'latest') return text;
  if (/^\d{1,16}$/.test(text)) return { offset: wholeNumber(0)(text) };
  const day = ISO_TIME.exec(text)?.[1];
  const time = day !== undefined && isDay(day) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time) || time < 0) throw new InvalidArgumentError(`${text} is not ${PLACES}.`);
  return { time };
}

/** Date.parse takes the 30th of February for the 2nd of March, which a reset would then begin at. */
function isDay(day: string): boolean {
  const midnight = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day);
}
