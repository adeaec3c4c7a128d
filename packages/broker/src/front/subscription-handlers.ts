/** The service Subscriptions on gRPC: which method of the front door answers which RPC. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type {
  CreateSubscriptionRequest,
  DeleteSubscriptionRequest,
  DescribeSubscriptionRequest,
  ExplainGroupRequest,
  ListParkedGroupsRequest,
  ListSubscriptionActionsRequest,
  ListSubscriptionsRequest,
  PauseSubscriptionRequest,
  ResetSubscriptionRequest,
  ResolveGroupRequest,
  RewindGroupRequest,
} from '@seriatim/protocol';
import type { FrontDoor } from './front-door.ts';

/** How the server makes a handler of a function. */
export interface HandlerMakers {
  unary<Request, Response>(
    answer: (request: Request, deadline: number) => Promise<Response>,
  ): UntypedServiceImplementation[string];
  stream<Request, Response>(
    open: (request: Request, signal: AbortSignal) => AsyncGenerator<Response>,
  ): UntypedServiceImplementation[string];
  /** The deadline of a step that begins now and that nobody set one for. */
  deadline(): number;
}

/** All RPCs but Consume. */
export function subscriptionHandlers(door: FrontDoor, make: HandlerMakers): UntypedServiceImplementation {
  const { subscriptions, groups } = door;
  const pause = (request: PauseSubscriptionRequest, paused: boolean, deadline: number) =>
    request.group === ''
      ? subscriptions.pause(request, paused, deadline)
      : groups.pause(request, paused, deadline);
  return {
    CreateSubscription: make.unary((request: CreateSubscriptionRequest, deadline) =>
      subscriptions.create(request, deadline),
    ),
    ListSubscriptions: make.unary((request: ListSubscriptionsRequest) => subscriptions.list(request)),
    DescribeSubscription: make.unary((request: DescribeSubscriptionRequest, deadline) =>
      subscriptions.describe(request, deadline),
    ),
    DeleteSubscription: make.unary((request: DeleteSubscriptionRequest, deadline) =>
      subscriptions.delete(request, deadline),
    ),
    ResetSubscription: make.unary((request: ResetSubscriptionRequest, deadline) =>
      subscriptions.reset(request, deadline),
    ),
    PauseSubscription: make.unary((request: PauseSubscriptionRequest, deadline) =>
      pause(request, true, deadline),
    ),
    ResumeSubscription: make.unary((request: PauseSubscriptionRequest, deadline) =>
      pause(request, false, deadline),
    ),
    RewindGroup: make.unary((request: RewindGroupRequest, deadline) => groups.rewind(request, deadline)),
    ExplainGroup: make.unary((request: ExplainGroupRequest, deadline) => groups.explain(request, deadline)),
    ListParkedGroups: make.stream((request: ListParkedGroupsRequest, signal) =>
      groups.parked(request, signal, () => make.deadline()),
    ),
    ResolveGroup: make.unary((request: ResolveGroupRequest, deadline) => groups.resolve(request, deadline)),
    ListSubscriptionActions: make.unary((request: ListSubscriptionActionsRequest, deadline) =>
      subscriptions.actions(request, deadline),
    ),
  };
}
