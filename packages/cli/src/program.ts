import { type ReadFrom, SeriatimError } from '@seriatim/client';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { bench } from './bench-command.ts';
import { clusterStatus } from './cluster-command.ts';
import { consume } from './consume-command.ts';
import { produce } from './produce-command.ts';
import { read } from './read-command.ts';
import { getRoute, listRoutes } from './route-command.ts';
import { addSubscriptionCommands } from './subscription-program.ts';
import { BrokenPipe, note, type Terminal } from './terminal.ts';
import { createTopic, deleteTopic, describeTopic, listTopics } from './topic-command.ts';
import { duration, UsageError, wholeNumber, withCommonOptions } from './usage.ts';

const DONE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;

/** Runs one command; gives the exit code: 0 done, 1 failed, 2 wrong usage. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  let code = DONE;
  const failed = (ok: boolean): void => {
    if (!ok) code = FAILED;
  };
  try {
    await program(terminal, failed).parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof BrokenPipe) return code;
    // Before its base class, whose errors commander has shown already: one that a command or the environment gave was shown to nobody.
    if (error instanceof InvalidArgumentError || error instanceof UsageError) {
      note(terminal, `error: ${error.message}`);
      return WRONG_USAGE;
    }
    if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : WRONG_USAGE;
    if (error instanceof SeriatimError)
      note(terminal, `error: ${error.code} (${error.outcome}): ${error.message}`);
    else note(terminal, `error: ${error instanceof Error ? error.message : String(error)}`);
    return FAILED;
  }
}

function program(terminal: Terminal, failed: (ok: boolean) => void): Command {
  const root = new Command('seriatim').description(
    'Ordered messages: topics, messages, subscriptions, routes, cluster.',
  );
  root.exitOverride().configureOutput({
    writeOut: (text) => terminal.stdout.write(text),
    writeErr: (text) => terminal.stderr.write(text),
  });
  // Sub-commands take over exitOverride and output from their parent only when made by its `command`.
  const leaf = (parent: Command, usage: string, description: string): Command =>
    withCommonOptions(parent.command(usage).description(description), terminal.env);
  addTopicCommands(root, leaf, terminal);
  addMessageCommands(root, leaf, terminal, failed);
  addSubscriptionCommands(root, leaf, terminal);
  addRouteCommands(root, leaf, terminal);
  const cluster = root.command('cluster').description('The nodes and what they lead.');
  leaf(cluster, 'status', 'Nodes, the leader of meta, and every partition.').action((options) =>
    clusterStatus(terminal, options),
  );
  addBench(root, leaf, terminal, failed);
  return root;
}

type Leaf = (parent: Command, usage: string, description: string) => Command;

function addTopicCommands(root: Command, leaf: Leaf, terminal: Terminal): void {
  const topic = root.command('topic').description('Make, list, describe and delete topics.');
  leaf(topic, 'create <topic>', 'Make a topic; returns when each partition has a leader.')
    .requiredOption('--partitions <n>', 'number of partitions, 1 to 1024', wholeNumber(0))
    .option('--replicas <n>', 'copies of each partition, at most the number of nodes', wholeNumber(0), 3)
    .option('--retention-ms <ms>', 'keep messages that long; 0: for ever', wholeNumber(0), 0)
    .option('--retention-bytes <n>', 'keep that much per partition; 0: no limit', wholeNumber(0), 0)
    .action((name, options) => {
      const { partitions, replicas, retentionMs: retentionMilliseconds, retentionBytes } = options;
      return createTopic(
        terminal,
        { name, partitions, replicas, retentionMilliseconds, retentionBytes },
        options,
      );
    });
  leaf(topic, 'list', 'All topics.').action((options) => listTopics(terminal, options));
  leaf(topic, 'describe <topic>', 'Partitions, and which replica is behind and why.').action(
    (name, options) => describeTopic(terminal, name, options),
  );
  leaf(topic, 'delete <topic>', 'Delete a topic with all its messages.').action((name, options) =>
    deleteTopic(terminal, name, options),
  );
}

const LINES = `
A line has partition, offset, group, sequence, timestamp (of consume also attempt and token), headers if there are any, key and value.
Headers are a list of {"name", "value"} in their order. Bytes that are not UTF-8 are valueBase64 or keyBase64 instead.`;

function addMessageCommands(
  root: Command,
  leaf: Leaf,
  terminal: Terminal,
  failed: (ok: boolean) => void,
): void {
  leaf(root, 'produce <topic>', 'Send each line of a file as a message.')
    .requiredOption('--file <file>', 'NDJSON, also .gz; - is standard input')
    .requiredOption('--group-field <name>', "the line's field that is its message group")
    .action(async (topic, options) => failed(await produce(terminal, topic, options)));
  leaf(root, 'read <topic>', 'Print stored messages as NDJSON.')
    .addHelpText('after', LINES)
    .option('--partition <n>', 'only this partition', wholeNumber(0))
    .option('--group <group>', 'only this message group')
    .option('--from <place>', 'earliest, latest, or an offset (with --partition)', readFrom, 'earliest')
    .option('--until-end', 'stop at the end instead of waiting for more', false)
    .action((topic, options) => read(terminal, topic, options));
  leaf(root, 'consume <topic>', 'Take messages of a subscription: print each as NDJSON, then acknowledge it.')
    .addHelpText('after', LINES)
    .requiredOption('--subscription <name>', 'an existing one; its consumers share the messages')
    .option('--consumer <name>', 'name of this consumer, for people; default: a random one')
    .option(
      '--until-idle <time>',
      'stop when nothing came for that long, such as 2s, while every partition was served; fail when one is not for --timeout',
      duration,
    )
    .option('--max <n>', 'stop after that many messages', wholeNumber(1))
    .action((topic, options) => consume(terminal, topic, options));
}

function readFrom(text: string): ReadFrom {
  if (text === 'earliest' || text === 'latest') return text;
  return wholeNumber(0)(text);
}

function addRouteCommands(root: Command, leaf: Leaf, terminal: Terminal): void {
  const route = root.command('route').description('Which partition a message group is in.');
  leaf(route, 'get <topic> <group>', 'The route of a group.').action((topic, group, options) =>
    getRoute(terminal, topic, group, options),
  );
  leaf(route, 'list <topic>', 'Routes of a topic.')
    .option('--partition <n>', 'only to this partition', wholeNumber(0))
    .option('--prefix <text>', 'only groups that begin so')
    .action((topic, options) => {
      const { partition, prefix } = options;
      return listRoutes(terminal, { topic, partition, prefix }, options);
    });
}

function addBench(root: Command, leaf: Leaf, terminal: Terminal, failed: (ok: boolean) => void): void {
  leaf(root, 'bench', 'Produce, read back, check the order of every group, and measure.')
    .option('--messages <n>', 'messages to produce', wholeNumber(1, 100_000_000), 1_000_000)
    .option('--size <bytes>', 'bytes of each value, at least 12', wholeNumber(12, 1_000_000), 100)
    .option('--groups <n>', 'message groups', wholeNumber(1, 10_000_000), 10_000)
    .option('--partitions <n>', 'partitions of the topic, if it has to be made', wholeNumber(1), 8)
    .option('--replicas <n>', 'replicas of the topic, if it has to be made', wholeNumber(1), 3)
    .option('--topic <topic>', 'default: a new one, deleted afterwards')
    .option('--rate <n>', 'messages a second, at fixed times (open loop), to measure latency', wholeNumber(1))
    .option(
      '--consume',
      'consume everything with acknowledgements as well; with --rate while it is produced',
      false,
    )
    .option('--run', 'consume by handlers, see Consumer.run; with --consume', false)
    .option('--stall-timeout <time>', 'give up consuming when no message came for that long (60s)', duration)
    .action(async (options) => failed(await bench(terminal, options)));
}
