/** What retention may not remove, because a subscription that retains what is unread has not settled it. */
import type { TopicId } from '../../contracts.ts';
import type { SubscriptionDefinitions } from '../../subscription-contracts.ts';
import { FLAG_BEHIND } from './subscription-rows.ts';
import type { SubscriptionProgress, SubscriptionsState } from './subscription-state.ts';

/** First offset that some subscription with `retainUnread` needs, as far as its progress is replicated; Infinity: none needs anything. */
export function neededFrom(
  topic: TopicId,
  definitions: SubscriptionDefinitions,
  state: SubscriptionsState,
): number {
  let needed = Number.POSITIVE_INFINITY;
  for (const { id, retainUnread } of definitions.subscriptions(topic)) {
    const progress = retainUnread ? state.get(id) : undefined;
    if (progress !== undefined) needed = Math.min(needed, firstUnsettled(progress));
  }
  return needed;
}

/** The floor, or where the group that is furthest behind goes on. */
function firstUnsettled({ floor, rows }: SubscriptionProgress): number {
  let first = floor;
  for (let row = 0; row < rows.count; row++) {
    if ((rows.flags(row) & FLAG_BEHIND) !== 0) first = Math.min(first, rows.next(row));
  }
  return first;
}
