import { EMPTY_CONFIGURATION } from './configuration.ts';
import { ZERO_INDEX, ZERO_TERM } from './position.ts';
import type { Configuration, Index, RaftConfig, Restored } from './types.ts';
import { NO_REPLICA } from './types.ts';

/** Throws when a setting makes no sense; names it, its value and what is asked for. */
export function checkConfig(config: RaftConfig): void {
  const whole: readonly (readonly [string, number])[] = [
    ['replica', config.replica],
    ['electionTimeoutTicks', config.electionTimeoutTicks],
    ['heartbeatTicks', config.heartbeatTicks],
    ['refusedCampaignTicks.min', config.refusedCampaignTicks.min],
    ['refusedCampaignTicks.max', config.refusedCampaignTicks.max],
    ['appendBytesMax', config.appendBytesMax],
    ['inflightMessagesMax', config.inflightMessagesMax],
    ['inflightBytesMax', config.inflightBytesMax],
    ['uncommittedBytesMax', config.uncommittedBytesMax],
    ['cacheBytesMax', config.cacheBytesMax],
  ];
  for (const [name, value] of whole) {
    if (!Number.isSafeInteger(value) || value <= 0) {
      throw new RangeError(`${name} is ${value}; it must be a positive whole number`);
    }
  }
  if (config.heartbeatTicks >= config.electionTimeoutTicks) {
    throw new RangeError(
      `heartbeatTicks is ${config.heartbeatTicks}; it must be below electionTimeoutTicks (${config.electionTimeoutTicks})`,
    );
  }
  if (config.refusedCampaignTicks.min > config.refusedCampaignTicks.max) {
    throw new RangeError('refusedCampaignTicks.min is above refusedCampaignTicks.max');
  }
}

/** What a replica of a new shard starts from. Without members it waits to be contacted. */
export function initialRestored(configuration: Configuration = EMPTY_CONFIGURATION): Restored {
  return {
    hardState: { term: ZERO_TERM, vote: NO_REPLICA },
    snapshot: { index: ZERO_INDEX, term: ZERO_TERM, configuration },
    entries: [],
    first: 1 as Index,
    commit: ZERO_INDEX,
  };
}
