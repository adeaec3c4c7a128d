/** Limits and times of a host: defaults, validation, and what they mean in ticks. */
import type { RaftConfig } from '@seriatim/raft';
import type { HostConfig, ShardSpec } from './types.ts';

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

/** What a host runs with unless told otherwise; each may be replaced. */
export const defaultHostConfig: HostConfig = Object.freeze({
  tickMilliseconds: 25,
  electionTimeoutMilliseconds: 1_000,
  heartbeatMilliseconds: 100,
  pauseMilliseconds: 250,
  inboxMessagesMax: 4_096,
  inboxBytesMax: 64 * MEBIBYTE,
  appendBytesMax: MEBIBYTE,
  inflightMessagesMax: 64,
  inflightBytesMax: 8 * MEBIBYTE,
  uncommittedBytesMax: 32 * MEBIBYTE,
  cacheBytesMax: 8 * MEBIBYTE,
});

/** Milliseconds before a pre-vote after the leader's node refused connections. */
const REFUSED_CAMPAIGN_MILLISECONDS = { min: 50, max: 150 };

/** Whole milliseconds in ticks, at least one. */
export function ticks(milliseconds: number, config: HostConfig): number {
  return Math.max(1, Math.round(milliseconds / config.tickMilliseconds));
}

/** The part of the host's configuration that a core sees. */
export function raftConfig(
  config: HostConfig,
  { replica, followersRead }: Pick<ShardSpec, 'replica' | 'followersRead'>,
  random: () => number,
): RaftConfig {
  return {
    replica,
    commitToldAtOnce: followersRead,
    electionTimeoutTicks: ticks(config.electionTimeoutMilliseconds, config),
    heartbeatTicks: ticks(config.heartbeatMilliseconds, config),
    refusedCampaignTicks: {
      min: ticks(REFUSED_CAMPAIGN_MILLISECONDS.min, config),
      max: ticks(REFUSED_CAMPAIGN_MILLISECONDS.max, config),
    },
    appendBytesMax: config.appendBytesMax,
    inflightMessagesMax: config.inflightMessagesMax,
    inflightBytesMax: config.inflightBytesMax,
    uncommittedBytesMax: config.uncommittedBytesMax,
    cacheBytesMax: config.cacheBytesMax,
    random,
  };
}

/**
 * Refuses a configuration that cannot work.
 * @throws Error naming the setting, its value and the limit.
 */
export function validateHostConfig(config: HostConfig): void {
  for (const [name, value] of Object.entries(config)) {
    if (!Number.isSafeInteger(value) || value <= 0) {
      throw new Error(`host configuration: ${name} is ${value}; it must be a whole number above 0`);
    }
  }
  if (config.heartbeatMilliseconds * 3 > config.electionTimeoutMilliseconds) {
    throw new Error(
      `host configuration: heartbeatMilliseconds is ${config.heartbeatMilliseconds}; it must be at most a third of electionTimeoutMilliseconds (${config.electionTimeoutMilliseconds})`,
    );
  }
  if (config.tickMilliseconds > config.heartbeatMilliseconds) {
    throw new Error(
      `host configuration: tickMilliseconds is ${config.tickMilliseconds}; it must be at most heartbeatMilliseconds (${config.heartbeatMilliseconds})`,
    );
  }
}
