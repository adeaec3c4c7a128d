import { readFileSync } from 'node:fs';
import type { NodeInfo } from '@seriatim/protocol';

/** Linux counts in hundredths of a second and in pages of 4 KiB on every platform that Node has a binary for, but a few ARM kernels. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** What processes have used until now. A node that does not run on this machine has null. */
export interface Usage {
  readonly clientCpuSeconds: number;
  readonly nodeCpuSeconds: readonly (number | null)[];
  readonly clientRssBytes: number;
  readonly nodeRssBytes: readonly (number | null)[];
}

/** Reads the figures of this process and, where they are local, of the nodes. */
export function usageOf(nodes: readonly NodeInfo[]): Usage {
  const { user, system } = process.cpuUsage();
  return {
    clientCpuSeconds: (user + system) / 1e6,
    nodeCpuSeconds: nodes.map((node) => localCpuSeconds(node)),
    clientRssBytes: process.memoryUsage.rss(),
    nodeRssBytes: nodes.map((node) => localRssBytes(node)),
  };
}

/** CPU seconds between two readings, of all processes that are known. */
export function cpuSecondsBetween(
  before: Usage,
  after: Usage,
): { readonly client: number; readonly nodes: (number | null)[] } {
  return {
    client: round(after.clientCpuSeconds - before.clientCpuSeconds),
    nodes: after.nodeCpuSeconds.map((seconds, index) => {
      const earlier = before.nodeCpuSeconds[index];
      return seconds === null || earlier === null || earlier === undefined ? null : round(seconds - earlier);
    }),
  };
}

const round = (seconds: number): number => Math.round(seconds * 1000) / 1000;

const isLocal = ({ address }: NodeInfo): boolean => /^(127\.|localhost:|\[::1\])/.test(address);

function procFile(node: NodeInfo, name: string): string | null {
  if (!isLocal(node) || node.pid === 0) return null;
  try {
    return readFileSync(`/proc/${node.pid}/${name}`, 'utf8');
  } catch {
    return null; // another machine's pid behind a tunnel, or no /proc
  }
}

function localCpuSeconds(node: NodeInfo): number | null {
  const stat = procFile(node, 'stat');
  if (stat === null) return null;
  // The name in parentheses may hold blanks: fields count from behind it. User and system time are the 14th and 15th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function localRssBytes(node: NodeInfo): number | null {
  const pages = procFile(node, 'statm')?.split(' ')[1];
  return pages === undefined ? null : Number(pages) * PAGE_BYTES;
}
