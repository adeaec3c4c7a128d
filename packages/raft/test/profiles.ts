/** Upper ends of the dice for each kind of event; the rest of 1 is left to changes of members. */
export interface Profile {
  readonly deliver: number;
  readonly tick: number;
  readonly write: number;
  readonly propose: number;
  readonly disturb: number;
  readonly ask: number;
  readonly checkpoint: number;
  /** Share of messages delivered in order. */
  readonly inOrder: number;
  /** Connections to leaders count as refused, so that nobody waits for a leader that was just heard. */
  readonly unruly: boolean;
}
/** A cluster on a good day with some trouble. */
export const calm: Profile = {
  deliver: 0.42,
  tick: 0.62,
  write: 0.78,
  propose: 0.94,
  disturb: 0.955,
  ask: 0.975,
  checkpoint: 0.985,
  inOrder: 0.8,
  unruly: false,
};
/** Leaders change all the time, crashes are frequent. */
const storm: Profile = {
  ...calm,
  deliver: 0.5,
  tick: 0.62,
  write: 0.76,
  propose: 0.88,
  disturb: 0.92,
  ask: 0.97,
  unruly: true,
};
/** Messages linger and overtake each other, disks are slow. */
const tangle: Profile = {
  ...calm,
  deliver: 0.5,
  tick: 0.6,
  write: 0.68,
  propose: 0.86,
  disturb: 0.89,
  ask: 0.93,
  checkpoint: 0.97,
  inOrder: 0.3,
  unruly: true,
};
/** What the schedules take turns with. */
export const profiles: readonly Profile[] = [calm, storm, tangle];
