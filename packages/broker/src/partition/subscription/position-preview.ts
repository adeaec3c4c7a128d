/** What a reset would do, counted without changing anything. */
import type { PositionPreview } from '../../subscription-contracts.ts';
import type { RecordSource } from '../record-source.ts';
import { eachRun } from './run-reader.ts';
import type { SubscriptionDesk } from './subscription-desk.ts';
import { FLAG_BEHIND } from './subscription-rows.ts';

/** Counts the messages before `to` that are not settled; those behind it that are follow from the totals. */
export async function positionPreview(
  desk: SubscriptionDesk,
  to: number,
  source: RecordSource,
): Promise<PositionPreview> {
  const { state } = desk.options;
  const { rows } = desk.progress;
  const { floor } = desk.window;
  let from = floor;
  for (let row = 0; row < rows.count; row++) {
    if ((rows.flags(row) & FLAG_BEHIND) !== 0) from = Math.min(from, rows.next(row));
  }
  const counted = { skipped: 0 };
  await eachRun(state, source, from, to, (run) => {
    const row = rows.find(run.key);
    const open = row >= 0 && rows.life(row) === run.life ? rows.next(row) : floor;
    const unsettled = run.offset + run.count - Math.max(run.offset, open);
    if (unsettled > 0) counted.skipped += unsettled;
  });
  const unsettled = Math.max(0, state.nextOffset - desk.progress.done);
  const repeated = Math.max(0, state.nextOffset - to - (unsettled - counted.skipped));
  return { from: floor, to, repeated, skipped: counted.skipped };
}
