import type {
  AppendRequest,
  AppendResponse,
  Configuration,
  Entry,
  HeartbeatRequest,
  Index,
  SnapshotRequest,
  Term,
  VoteRequest,
  VoteResponse,
} from '../src/index.ts';
import { NO_REPLICA } from '../src/index.ts';
import { bytes, type Disk, replicaId } from './replica.ts';

/** Entries of these terms, from `first` on; each holds `index.term`. */
export function entriesOf(terms: readonly number[], first = 1): Entry[] {
  return terms.map((term, i) => ({
    index: (first + i) as Index,
    term: term as Term,
    type: 'command',
    data: bytes(`${first + i}.${term}`),
  }));
}

/** A disk whose log has entries of these terms. The saved term is the last one's unless given. */
export function diskOf(terms: readonly number[], configuration: Configuration, term?: number): Disk {
  return {
    hardState: { term: (term ?? terms.at(-1) ?? 0) as Term, vote: NO_REPLICA },
    image: { index: 0 as Index, term: 0 as Term, configuration },
    state: [],
    entries: entriesOf(terms),
    commit: 0 as Index,
  };
}

interface Route {
  readonly from: number;
  readonly to: number;
  readonly term: number;
}

function envelope(route: Route): {
  from: ReturnType<typeof replicaId>;
  to: ReturnType<typeof replicaId>;
  term: Term;
} {
  return { from: replicaId(route.from), to: replicaId(route.to), term: route.term as Term };
}

/** An append of `terms` behind `previous` (index, term). */
export function append(
  route: Route,
  previous: readonly [index: number, term: number],
  terms: readonly number[],
  commit = 0,
): AppendRequest {
  return {
    ...envelope(route),
    type: 'appendRequest',
    previousIndex: previous[0] as Index,
    previousTerm: previous[1] as Term,
    commit: commit as Index,
    entries: entriesOf(terms, previous[0] + 1),
  };
}

export function appended(route: Route, index: number): AppendResponse {
  return {
    ...envelope(route),
    type: 'appendResponse',
    success: true,
    index: index as Index,
    hintIndex: index as Index,
    hintTerm: 0 as Term,
  };
}

export function refused(
  route: Route,
  index: number,
  hint: readonly [index: number, term: number],
): AppendResponse {
  return {
    ...envelope(route),
    type: 'appendResponse',
    success: false,
    index: index as Index,
    hintIndex: hint[0] as Index,
    hintTerm: hint[1] as Term,
  };
}

export function heartbeat(route: Route, commit: number, round = 1): HeartbeatRequest {
  return { ...envelope(route), type: 'heartbeatRequest', commit: commit as Index, round };
}

export function voteRequest(
  route: Route,
  last: readonly [index: number, term: number],
  kind: { readonly preVote?: boolean; readonly transfer?: boolean } = {},
): VoteRequest {
  return {
    ...envelope(route),
    type: 'voteRequest',
    preVote: kind.preVote ?? false,
    transfer: kind.transfer ?? false,
    lastIndex: last[0] as Index,
    lastTerm: last[1] as Term,
  };
}

export function image(
  route: Route,
  last: readonly [index: number, term: number],
  configuration: Configuration,
): SnapshotRequest {
  return {
    ...envelope(route),
    type: 'snapshotRequest',
    meta: { index: last[0] as Index, term: last[1] as Term, configuration },
  };
}

export function granted(route: Route, preVote: boolean): VoteResponse {
  return { ...envelope(route), type: 'voteResponse', preVote, granted: true };
}
