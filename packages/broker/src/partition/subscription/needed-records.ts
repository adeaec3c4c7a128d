/** What retention may not remove, because a subscription that retains what is unread has not settled it. */
import type { SubscriptionDefinitions, SubscriptionId } from '../../subscription-contracts.ts';
import { FLAG_BEHIND } from './subscription-rows.ts';
import type { SubscriptionProgress, SubscriptionsState } from './subscription-state.ts';

/**
 * First offset that some subscription with `retainUnread` needs, as far as its progress is replicated; Infinity: none needs anything. One
 * whose definition this node has not heard of yet may retain: it is taken to.
 */
export function neededFrom(definitions: SubscriptionDefinitions, state: SubscriptionsState): number {
  let needed = Number.POSITIVE_INFINITY;
  for (const progress of state.all()) {
    const id = progress.id as SubscriptionId;
    const retains = definitions.subscriptionById(id)?.retainUnread ?? !definitions.wasDeleted(id);
    if (retains) needed = Math.min(needed, firstUnsettled(progress));
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
