export { History } from './history.ts';
export type { Finding, HistoryRecord, Receipt, Verdict } from './history.ts';
