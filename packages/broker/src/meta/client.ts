/** Sends commands to the meta shard from any node, and waits until the local replica shows their effect. */
import type { Clock, NodeId, Shard } from '@seriatim/multiraft';
import { META_SHARD } from '@seriatim/multiraft';
import { RefusalError } from '@seriatim/protocol';
import type { Index, ProposeResult } from '@seriatim/raft';
import { type LeaderDirectory, type PeerCalls, REQUEST_META_COMMAND } from '../contracts.ts';
import { decodeCommand, encodeCommand } from './command-codec.ts';
import { before, Waiters } from './deadline.ts';
import { MetaFormatError } from './fields.ts';
import type { MetaCommand, MetaResult } from './model.ts';
import { type AppliedCommand, decodeApplied, encodeApplied } from './result-codec.ts';
import type { MetaState } from './state.ts';

/** What the client needs of its node. */
export interface MetaClientOptions {
  readonly node: NodeId;
  readonly clock: Clock;
  readonly state: MetaState;
  /** The local replica of the meta shard; undefined while it is not open. */
  readonly shard: () => Shard | undefined;
  readonly leaders: LeaderDirectory;
  readonly calls: PeerCalls;
  /** Pause before an attempt is made again when nothing changed meanwhile, milliseconds (50). */
  readonly retryMilliseconds?: number;
  /** Most commands of this node and its peers under way; above it they are refused as OVERLOADED (4,096). */
  readonly commandsMax?: number;
}

type Attempt =
  | { readonly type: 'applied'; readonly applied: AppliedCommand }
  /** `unknown`: it may be applied yet; else certainly not. */
  | { readonly type: 'failed'; readonly unknown: boolean; readonly reason: string };

/**
 * Proposes here when this node leads meta, else forwards once to the leader, which never forwards further. Commands may be applied
 * twice with the same effect, so that an attempt whose fate is unknown is made again until the deadline.
 */
export class MetaClient {
  readonly #options: MetaClientOptions;
  readonly #retryMilliseconds: number;
  readonly #commandsMax: number;
  /** Attempts that wait for a leader. */
  readonly #leaderWaiters = new Waiters();
  #underWay = 0;
  #stopped = false;

  constructor(options: MetaClientOptions) {
    this.#options = options;
    this.#retryMilliseconds = options.retryMilliseconds ?? 50;
    this.#commandsMax = options.commandsMax ?? 4_096;
    options.state.onLeadershipChange(() => this.#leaderWaiters.wake());
    options.leaders.onChange((shard) => {
      if (shard === META_SHARD) this.#leaderWaiters.wake();
    });
    options.calls.handle(REQUEST_META_COMMAND, (from, body, deadline) => this.#answer(from, body, deadline));
  }

  /**
   * Resolves with the answer of the command once the local replica has applied it. Rejects with a {@link RefusalError} by
   * `deadline`: NO_META_LEADER (never proposed), NOT_COMMITTED (fate unknown), DEADLINE (applied, but not here yet) or OVERLOADED. An
   * answer of type `refused` is returned, not thrown: see {@link submitChecked}.
   */
  async submit(command: MetaCommand, deadline: number): Promise<MetaResult> {
    const { index, result } = await this.#propose(encodeCommand(command), deadline);
    await this.#untilApplied(index, deadline);
    return result;
  }

  /** Like {@link submit}; an answer `refused` is thrown as the {@link RefusalError} that it names. */
  async submitChecked(command: MetaCommand, deadline: number): Promise<MetaResult> {
    const result = await this.submit(command, deadline);
    if (result.type === 'refused') throw new RefusalError(result.code, result.message);
    return result;
  }

  /** Commands that wait for a leader are given up (SHUTTING_DOWN, or NOT_COMMITTED when their fate is unknown). */
  stop(): void {
    this.#stopped = true;
    this.#leaderWaiters.wake();
  }

  async #propose(data: Uint8Array, deadline: number): Promise<AppliedCommand> {
    const { clock } = this.#options;
    if (this.#underWay >= this.#commandsMax) {
      throw new RefusalError(
        'OVERLOADED',
        `${this.#underWay} meta commands under way, the limit is ${this.#commandsMax}; try again later`,
      );
    }
    let unknown = false;
    let reason = 'the meta shard has no leader';
    this.#underWay += 1;
    try {
      while (clock.now() < deadline && !this.#stopped) {
        const attempt = await this.#attempt(data, deadline);
        if (attempt.type === 'applied') return attempt.applied;
        unknown ||= attempt.unknown;
        reason = attempt.reason;
        const left = deadline - clock.now();
        if (left > 0) await this.#leaderWaiters.wait(clock, Math.min(left, this.#retryMilliseconds));
      }
    } finally {
      this.#underWay -= 1;
    }
    if (unknown) {
      throw new RefusalError('NOT_COMMITTED', `a meta command was not confirmed in time: ${reason}`, {
        outcome: 'unknown',
      });
    }
    if (this.#stopped) throw new RefusalError('SHUTTING_DOWN', 'this node is stopping');
    throw new RefusalError('NO_META_LEADER', `a meta command was not taken in time: ${reason}`);
  }

  async #attempt(data: Uint8Array, deadline: number): Promise<Attempt> {
    const { state, node } = this.#options;
    if (state.leadership.leads) return this.#proposeHere(data, deadline);
    const leader = this.#leaderNode();
    if (leader === undefined)
      return { type: 'failed', unknown: false, reason: 'the meta shard has no leader' };
    if (leader === node) return { type: 'failed', unknown: false, reason: 'this node is about to lead meta' };
    return this.#forward(leader, data, deadline);
  }

  #leaderNode(): NodeId | undefined {
    const { state, leaders } = this.#options;
    const known = leaders.leader(META_SHARD);
    const own = state.leadership;
    const ownLeader = own.leader === 0 ? undefined : state.metaNode(own.leader);
    if (known === undefined || (ownLeader !== undefined && own.term >= known.term))
      return ownLeader ?? known?.node;
    return known.node;
  }

  /** Asks the leader; given up, fate unknown, when another node is known to lead before it answers. */
  async #forward(leader: NodeId, data: Uint8Array, deadline: number): Promise<Attempt> {
    const answered = this.#options.calls
      .call(leader, REQUEST_META_COMMAND, [data], deadline)
      .then((answer): Attempt => ({ type: 'applied', applied: decodeApplied(answer) }))
      .catch((error: unknown) => forwardFailed(leader, error));
    let look = (): void => {};
    const replaced = new Promise<Attempt>((resolve) => {
      look = () => {
        if (this.#leaderNode() === leader && !this.#stopped) this.#leaderWaiters.add(look);
        else resolve({ type: 'failed', unknown: true, reason: `node ${leader} does not lead meta any more` });
      };
    });
    this.#leaderWaiters.add(look);
    const attempt = await Promise.race([answered, replaced]);
    this.#leaderWaiters.remove(look);
    return attempt;
  }

  /** One synchronous step up to the wait for its fate. */
  async #proposeHere(data: Uint8Array, deadline: number): Promise<Attempt> {
    const { clock, state, shard } = this.#options;
    const replica = shard();
    if (replica === undefined)
      return { type: 'failed', unknown: false, reason: 'the meta replica is not open' };
    let at: ProposeResult | null = null;
    const fate = new Promise<Attempt>((resolve) => {
      const proposed = replica.propose(data, (settled) => {
        const result = at?.type === 'accepted' ? state.takeResult(at.index, at.term) : null;
        if (settled.type === 'applied' && result !== null) {
          resolve({ type: 'applied', applied: { index: settled.index, result } });
        } else {
          const unknown = settled.type !== 'overwritten';
          resolve({ type: 'failed', unknown, reason: `the proposal's fate is ${settled.type}` });
        }
      });
      if (proposed.type === 'refused') {
        resolve({ type: 'failed', unknown: false, reason: `the meta leader refused: ${proposed.reason}` });
        return;
      }
      at = proposed;
      state.expect(proposed.index, proposed.term);
    });
    return before(clock, deadline, fate, () => new RefusalError('NOT_COMMITTED', 'no quorum in time')).catch(
      (): Attempt => ({ type: 'failed', unknown: true, reason: 'no quorum confirmed it in time' }),
    );
  }

  /** A command from another node: proposed here or refused, never forwarded again. */
  async #answer(_from: NodeId, body: Uint8Array, deadline: number): Promise<readonly Uint8Array[]> {
    // Decoding first: a command that would stop the shard must not get into its log.
    try {
      decodeCommand(body);
    } catch (error) {
      throw new RefusalError('INVALID_REQUEST', String(error));
    }
    if (!this.#options.state.leadership.leads) {
      throw new RefusalError('NOT_LEADER', `node ${this.#options.node} does not lead the meta shard`);
    }
    // The body may be a view into a receive buffer, the log keeps what it is given.
    const attempt = await this.#proposeHere(body.slice(), deadline);
    if (attempt.type === 'applied') return [encodeApplied(attempt.applied)];
    throw new RefusalError(attempt.unknown ? 'NOT_COMMITTED' : 'NOT_LEADER', attempt.reason, {
      outcome: attempt.unknown ? 'unknown' : 'not-applied',
    });
  }

  async #untilApplied(index: Index, deadline: number): Promise<void> {
    const { clock, state } = this.#options;
    let cancel = (): void => {};
    const reached = new Promise<void>((resolve) => {
      cancel = state.whenApplied(index, resolve);
    });
    await before(clock, deadline, reached, () => {
      cancel();
      return new RefusalError('DEADLINE', `applied by the cluster at ${index}, but not on this node yet`, {
        outcome: 'unknown',
      });
    });
  }
}

function forwardFailed(leader: NodeId, error: unknown): Attempt {
  if (error instanceof MetaFormatError) {
    return { type: 'failed', unknown: true, reason: `node ${leader}: ${error.message}` };
  }
  if (!(error instanceof RefusalError)) throw error;
  const unknown = error.outcome === 'unknown' || error.code === 'DEADLINE';
  return { type: 'failed', unknown, reason: `node ${leader}: ${error.message}` };
}
