/** What the front door needs of its node. Everything else it does by itself, so that it runs in a simulation too. */
import type { Clock, NodeId, PeerState } from '@seriatim/multiraft';
import type { ProduceLimits } from '@seriatim/protocol';
import type {
  Admin,
  LeaderDirectory,
  LocalPartitions,
  MetaView,
  PeerCalls,
  RouteAssigner,
  TopicId,
} from '../contracts.ts';

import type {
  AdministrationCaller,
  SubscriptionAdmin,
  SubscriptionDefinitions,
} from '../subscription-contracts.ts';

/** Looks a group up in the route table and counts how that went. Answers -1 for a group without route. */
export interface RouteLookup {
  routeOf(topic: TopicId, bytes: Uint8Array, start: number, end: number): number;
}

/** The parts that the front door is built on. */
export interface FrontPorts {
  readonly node: NodeId;
  readonly clock: Clock;
  readonly view: MetaView;
  readonly router: RouteLookup;
  readonly assigner: RouteAssigner;
  readonly admin: Admin;
  readonly leaders: LeaderDirectory;
  readonly partitions: LocalPartitions;
  readonly calls: PeerCalls;
  /** Whether another node can be reached from here. */
  readonly peerState: (node: NodeId) => PeerState;
  readonly limits: ProduceLimits;
  readonly definitions: SubscriptionDefinitions;
  readonly subscriptions: SubscriptionAdmin;
  readonly administration: AdministrationCaller;
  /** Version of this software, for GetCapabilities. */
  readonly version: string;
}
