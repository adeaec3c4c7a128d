import type { Entry, Message, Ready } from '../src/index.ts';
import { decodeConfiguration } from '../src/index.ts';
import { Network } from './network.ts';
import { type Replica, text } from './replica.ts';

/** A network that writes down what its replicas say and do, in words for people. */
export class Conversation extends Network {
  #lines: string[] = [];

  /** The conversation so far. */
  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  /** Forgets what was said, so that a story begins in the middle. */
  begin(line: string): void {
    this.#lines = [];
    this.say(line);
  }

  /** A line of the narrator. */
  say(line: string): void {
    this.#lines.push(this.#lines.length === 0 ? `# ${line}` : `\n> ${line}`);
  }

  onReady(replica: Replica, ready: Ready): void {
    const { status, hardState, snapshot, entries, reads } = ready;
    if (status !== null) {
      const leader = status.leader === 0 ? 'nobody' : status.leader;
      this.#lines.push(`  ${replica.id} is ${status.role} in term ${status.term}, follows ${leader}`);
    }
    const parts = [
      hardState === null ? '' : `term ${hardState.term} vote ${hardState.vote}`,
      snapshot === null ? '' : `image ${snapshot.index}@${snapshot.term}`,
      entries.map(entryText).join(' '),
    ].filter((part) => part !== '');
    if (parts.length > 0) {
      this.#lines.push(`  ${replica.id} writes ${parts.join(', ')}`);
    }
    for (const read of reads) {
      this.#lines.push(
        `  ${replica.id} read ${read.id}: ${read.type === 'confirmed' ? `at ${read.index}` : 'dropped'}`,
      );
    }
  }

  onApply(replica: Replica, entry: Entry): void {
    this.#lines.push(`  ${replica.id} applies ${entryText(entry)}`);
  }

  override send(message: Message): void {
    const lost = this.drops(message) ? '  (lost)' : '';
    this.#lines.push(`  ${message.from} → ${message.to}  ${messageText(message)}${lost}`);
    super.send(message);
  }
}

function messageText(message: Message): string {
  const { term } = message;
  switch (message.type) {
    case 'voteRequest': {
      const kind = message.preVote ? 'pre-vote' : 'vote';
      const order = message.transfer ? ', by order' : '';
      return `${kind}? term ${term}, log ends ${message.lastIndex}@${message.lastTerm}${order}`;
    }
    case 'voteResponse':
      return `${message.preVote ? 'pre-vote' : 'vote'} ${message.granted ? 'granted' : 'refused'}, term ${term}`;
    case 'appendRequest': {
      const entries = message.entries.map(entryText).join(' ');
      return `append term ${term}, behind ${message.previousIndex}@${message.previousTerm}, commit ${message.commit}: ${entries === '' ? 'nothing' : entries}`;
    }
    case 'appendResponse':
      return message.success
        ? `has up to ${message.index}, term ${term}`
        : `refuses ${message.index}, look at ${message.hintIndex}@${message.hintTerm}, term ${term}`;
    case 'heartbeatRequest':
      return `heartbeat term ${term}, commit ${message.commit}, round ${message.round}`;
    case 'heartbeatResponse':
      return `heard round ${message.round}, term ${term}`;
    case 'snapshotRequest':
      return `image ${message.meta.index}@${message.meta.term}, term ${term}`;
    case 'timeoutNow':
      return `campaign now, term ${term}`;
  }
}

function entryText(entry: Entry): string {
  const position = `${entry.index}@${entry.term}`;
  switch (entry.type) {
    case 'noop':
      return `${position} no-op`;
    case 'command':
      return `${position} "${text(entry.data)}"`;
    case 'configuration': {
      const { voters, outgoing, learners, learnersNext } = decodeConfiguration(entry.data);
      const old = outgoing.length > 0 ? ` from {${outgoing}}` : '';
      const watching = [...learners, ...learnersNext];
      return `${position} members {${voters}}${old}${watching.length > 0 ? ` learners {${watching}}` : ''}`;
    }
  }
}
