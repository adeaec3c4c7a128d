/** Named producers: a name gives the same producer id for ever, and each opening the next epoch. */
import type { MetaTables } from './meta-tables.ts';
import { type MetaCommand, type MetaResult, NAMED_WRITERS_MAX } from './model.ts';

type Of<T extends MetaCommand['type']> = Extract<MetaCommand, { readonly type: T }>;

/** Opens the next instance of a named producer; the same request again finds the epoch that it took. */
export function openWriter(tables: MetaTables, command: Of<'openWriter'>): MetaResult {
  const { name, token } = command;
  const known = tables.writers.get(name);
  if (known?.token === token) return answer(known.producerId, known.epoch);
  if (known !== undefined) {
    const epoch = known.epoch + 1;
    tables.writers.set(name, { producerId: known.producerId, epoch, token });
    return answer(known.producerId, epoch);
  }
  if (tables.writers.size >= NAMED_WRITERS_MAX) {
    return {
      type: 'refused',
      code: 'INVALID_PRODUCER_NAME',
      message: `${NAMED_WRITERS_MAX} producer names are known, that is the limit; use one of them again`,
    };
  }
  const producerId = tables.next.producer;
  tables.next.producer += 1;
  tables.writers.set(name, { producerId, epoch: 1, token });
  return answer(producerId, 1);
}

const answer = (producerId: number, epoch: number): MetaResult => ({ type: 'writer', producerId, epoch });
