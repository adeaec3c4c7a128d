/** The one switch from a command to what it does. */
import type { Index } from '@seriatim/raft';
import type { MetaTables } from './meta-tables.ts';
import type { GroupColumns, MetaCommand, MetaResult } from './model.ts';
import {
  form,
  raiseFeatureLevel,
  registerNode,
  replaceReplicas,
  replicaReplaced,
  reserveProducerIds,
} from './node-commands.ts';
import {
  createSubscription,
  deleteSubscription,
  pauseSubscription,
  resetSubscription,
} from './subscription-commands.ts';
import { createTopic, deleteTopic, endOperation } from './topic-commands.ts';
import { openWriter } from './writer-commands.ts';

/** Applies one command; the same command at the same state gives the same state and answer on every replica. */
export function executeCommand(tables: MetaTables, command: MetaCommand, index: Index): MetaResult {
  switch (command.type) {
    case 'form':
      return form(tables, command);
    case 'registerNode':
      return registerNode(tables, command);
    case 'createTopic':
      return createTopic(tables, command);
    case 'deleteTopic':
      return deleteTopic(tables, command);
    case 'endOperation':
      return endOperation(tables, command);
    case 'reserveProducerIds':
      return reserveProducerIds(tables, command);
    case 'openWriter':
      return openWriter(tables, command);
    case 'raiseFeatureLevel':
      return raiseFeatureLevel(tables, command);
    case 'replaceReplicas':
      return replaceReplicas(tables, command);
    case 'replicaReplaced':
      return replicaReplaced(tables, command);
    case 'assignRoutes':
      return assignRoutes(tables, command.topics, index);
    case 'removeRoutes':
      return removeRoutes(tables, command.topics);
    case 'createSubscription':
      return createSubscription(tables, command);
    case 'resetSubscription':
      return resetSubscription(tables, command);
    case 'deleteSubscription':
      return deleteSubscription(tables, command);
    case 'pauseSubscription':
      return pauseSubscription(tables, command);
  }
}

/** The life of a group is the log index that gave it its route: it rises with each new life. */
function assignRoutes(tables: MetaTables, topics: readonly GroupColumns[], index: Index): MetaResult {
  let assigned = 0;
  let full = 0;
  for (const { topic, ends, bytes } of topics) {
    const table = tables.routes.get(topic);
    if (table === undefined) continue;
    let start = 0;
    for (const end of ends) {
      const outcome = table.assign(bytes, start, end, index);
      if (outcome === 'assigned') assigned += 1;
      else if (outcome === 'full') full += 1;
      start = end;
    }
  }
  return { type: 'routes', assigned, full };
}

function removeRoutes(tables: MetaTables, topics: readonly GroupColumns[]): MetaResult {
  for (const { topic, ends, bytes } of topics) {
    const table = tables.routes.get(topic);
    let start = 0;
    for (const end of ends) {
      table?.remove(bytes, start, end);
      start = end;
    }
  }
  return { type: 'done' };
}
