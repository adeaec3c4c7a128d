/** Named producers: a name gives the same producer id for ever, and each opening the next epoch. */
import type { MetaTables } from './meta-tables.ts';
import { type MetaCommand, type MetaResult, NAMED_WRITERS_MAX, type WriterRecord } from './model.ts';

type Of<T extends MetaCommand['type']> = Extract<MetaCommand, { readonly type: T }>;

/**
 * Opens the next instance of a named producer, if the newest epoch is the one that the command names: an opening that arrives after another
 * one must not fence it. The same instance again finds the epoch that it took.
 */
export function openWriter(tables: MetaTables, command: Of<'openWriter'>): MetaResult {
  const { name, instance, previousEpoch } = command;
  const known = tables.writers.get(name);
  if (known?.instance === instance) return answer(known, true);
  if ((known?.epoch ?? 0) !== previousEpoch) return answer(known ?? { producerId: 0, epoch: 0 }, false);
  if (known === undefined && tables.writers.size >= NAMED_WRITERS_MAX) {
    return {
      type: 'refused',
      code: 'INVALID_PRODUCER_NAME',
      message: `${NAMED_WRITERS_MAX} producer names are known, that is the limit; use one of them again`,
    };
  }
  const producerId = known?.producerId ?? tables.next.producer;
  if (known === undefined) tables.next.producer += 1;
  const opened = { producerId, epoch: previousEpoch + 1, instance };
  tables.writers.set(name, opened);
  return answer(opened, true);
}

const answer = (
  { producerId, epoch }: Pick<WriterRecord, 'producerId' | 'epoch'>,
  opened: boolean,
): MetaResult => ({
  type: 'writer',
  producerId,
  epoch,
  opened,
});
