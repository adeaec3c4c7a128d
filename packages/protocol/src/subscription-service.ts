/** The gRPC service Subscriptions, from the same descriptor as Broker and served on the same port. */
import type { Buffer } from 'node:buffer';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { opaqueMethod, PACKAGE, smallMethod } from './method-definition.ts';
import type * as types from './subscription-types.ts';

/** Fully qualified name of the service. */
export const SUBSCRIPTIONS_SERVICE_NAME: string = `${PACKAGE}.Subscriptions`;

/** Any RPC of the service by its proto name. */
export type SubscriptionMethodName =
  | 'Consume'
  | 'CreateSubscription'
  | 'ListSubscriptions'
  | 'DescribeSubscription'
  | 'DeleteSubscription'
  | 'ResetSubscription'
  | 'PauseSubscription'
  | 'ResumeSubscription'
  | 'RewindGroup'
  | 'ExplainGroup'
  | 'ListParkedGroups'
  | 'ResolveGroup'
  | 'ListSubscriptionActions';

/** The service with each RPC's types. Consume is bytes both ways. */
export interface SubscriptionsService extends ServiceDefinition {
  readonly Consume: MethodDefinition<Buffer, Buffer>;
  readonly CreateSubscription: MethodDefinition<
    types.CreateSubscriptionRequest,
    types.CreateSubscriptionResponse
  >;
  readonly ListSubscriptions: MethodDefinition<
    types.ListSubscriptionsRequest,
    types.ListSubscriptionsResponse
  >;
  readonly DescribeSubscription: MethodDefinition<
    types.DescribeSubscriptionRequest,
    types.DescribeSubscriptionResponse
  >;
  readonly DeleteSubscription: MethodDefinition<
    types.DeleteSubscriptionRequest,
    types.DeleteSubscriptionResponse
  >;
  readonly ResetSubscription: MethodDefinition<
    types.ResetSubscriptionRequest,
    types.ResetSubscriptionResponse
  >;
  readonly PauseSubscription: MethodDefinition<
    types.PauseSubscriptionRequest,
    types.PauseSubscriptionResponse
  >;
  readonly ResumeSubscription: MethodDefinition<
    types.ResumeSubscriptionRequest,
    types.ResumeSubscriptionResponse
  >;
  readonly RewindGroup: MethodDefinition<types.RewindGroupRequest, types.RewindGroupResponse>;
  readonly ExplainGroup: MethodDefinition<types.ExplainGroupRequest, types.ExplainGroupResponse>;
  readonly ListParkedGroups: MethodDefinition<types.ListParkedGroupsRequest, types.ListParkedGroupsResponse>;
  readonly ResolveGroup: MethodDefinition<types.ResolveGroupRequest, types.ResolveGroupResponse>;
  readonly ListSubscriptionActions: MethodDefinition<
    types.ListSubscriptionActionsRequest,
    types.ListSubscriptionActionsResponse
  >;
}

const small = <Request, Response>(name: SubscriptionMethodName): MethodDefinition<Request, Response> =>
  smallMethod(SUBSCRIPTIONS_SERVICE_NAME, name);

/** The RPCs of subscriptions, to be served beside brokerService. */
export const subscriptionsService: SubscriptionsService = {
  Consume: opaqueMethod(SUBSCRIPTIONS_SERVICE_NAME, 'Consume'),
  CreateSubscription: small('CreateSubscription'),
  ListSubscriptions: small('ListSubscriptions'),
  DescribeSubscription: small('DescribeSubscription'),
  DeleteSubscription: small('DeleteSubscription'),
  ResetSubscription: small('ResetSubscription'),
  PauseSubscription: small('PauseSubscription'),
  ResumeSubscription: small('ResumeSubscription'),
  RewindGroup: small('RewindGroup'),
  ExplainGroup: small('ExplainGroup'),
  ListParkedGroups: small('ListParkedGroups'),
  ResolveGroup: small('ResolveGroup'),
  ListSubscriptionActions: small('ListSubscriptionActions'),
};
