/** A node with toy state machines on the real multiraft, storage and peer links; started by toy-cluster.ts. */
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { defaultPeerLimits, PeerLinks, RealClock } from '@seriatim/broker';
import { defaultHostConfig, MultiRaft, type NodeId, type Shard, type ShardId } from '@seriatim/multiraft';
import type { ReplicaId } from '@seriatim/raft';
import {
  type FileSystem,
  nodeFileSystem,
  type OpenFile,
  openLevelStore,
  openNodeStore,
} from '@seriatim/storage';
import { type ToyAnswer, type ToyRequest, toyShards } from './line-client.ts';
import { ToyMachine } from './toy-machine.ts';

interface Settings {
  readonly node: number;
  readonly directory: string;
  readonly peerPorts: readonly number[];
  readonly clientPort: number;
  readonly withoutSync: boolean;
}
const settings = JSON.parse(process.argv[2] ?? '{}') as Settings;
const self = settings.node as NodeId;
const voters = settings.peerPorts.map((_, index) => (index + 1) as ReplicaId);
const clock = new RealClock();
const mebibyte = 1024 * 1024;

/** Small, so that journal files, segments and images turn over many times in the seconds between two power cuts. */
const storage = {
  journalFileBytes: 4 * mebibyte,
  journalBytesMax: 16 * mebibyte,
  checkpointBytes: mebibyte / 2,
  segmentBytes: 2 * mebibyte,
  freeBytesRefuse: 8 * mebibyte,
  freeBytesStop: 4 * mebibyte,
};

const fail = (what: string, error: unknown): never => {
  console.error(`toy node ${self}: ${what}: ${error instanceof Error ? error.message : error}`);
  process.exit(3);
};

/**
 * The machine's files, with a journal whose frames are never synced. The first sync of a new file, which makes its head
 * durable, stays: so what is missing later is messages, not files.
 */
function withoutSync(files: FileSystem): FileSystem {
  const lazy = (path: string, open: OpenFile, honest: number): OpenFile => {
    let syncsLeft = path.includes('/journal/') ? honest : Number.POSITIVE_INFINITY;
    return {
      write: (position, parts) => open.write(position, parts),
      read: (position, length) => open.read(position, length),
      sync: async () => {
        if (syncsLeft-- > 0) await open.sync();
      },
      size: () => open.size(),
      truncate: (length) => open.truncate(length),
      preallocate: (length) => open.preallocate(length),
      close: () => open.close(),
    };
  };
  return {
    create: async (path) => lazy(path, await files.create(path), 1),
    open: async (path, mode) => lazy(path, await files.open(path, mode), 0),
    rename: (from, to) => files.rename(from, to),
    unlink: (path) => files.unlink(path),
    list: (directory) => files.list(directory),
    makeDirectory: (directory) => files.makeDirectory(directory),
    removeDirectory: (directory) => files.removeDirectory(directory),
    syncDirectory: (directory) => files.syncDirectory(directory),
    freeBytes: (directory) => files.freeBytes(directory),
  };
}

interface ToyShard {
  readonly shard: Shard;
  readonly machine: ToyMachine;
}

async function open(): Promise<ReadonlyMap<number, ToyShard>> {
  const files = nodeFileSystem();
  const opened = await openNodeStore({
    directory: settings.directory,
    node: self,
    files: settings.withoutSync ? withoutSync(files) : files,
    openImages: openLevelStore,
    clock,
    random: Math.random,
    config: storage,
    onFault: (error) => fail('the disk failed', error),
  });
  // A real node would start over as another replica; here nothing may ever be lost.
  if (opened.type === 'lost') return fail('its journal is lost', opened.reason);
  if (opened.damaged.length > 0) return fail('its images are damaged', opened.damaged[0]?.reason);
  const { store, recovered, identity } = opened;
  const links = new PeerLinks({
    node: self,
    bootNumber: () => identity.bootNumber,
    listen: { host: '127.0.0.1', port: settings.peerPorts[self - 1] ?? 0 },
    limits: defaultPeerLimits,
    admit: async () => null,
    onStatus: () => new Uint8Array(0),
    log: () => {},
  });
  links.formed('toy');
  const host = new MultiRaft({
    node: self,
    clock,
    transport: links,
    store,
    random: Math.random,
    config: defaultHostConfig,
    onShardFault: (shard, error) => fail(`shard ${shard}`, error),
  });
  const shards = new Map<number, ToyShard>();
  for (let number = 0; number < toyShards; number++) {
    const id = (number + 1) as ShardId;
    const machine = new ToyMachine();
    const shard = await host.open({
      shard: id,
      replica: self as number as ReplicaId,
      stateMachine: machine,
      followersRead: false,
      initial: { voters, outgoing: [], learners: [], learnersNext: [] },
      locate: (replica) => replica as number as NodeId,
      recovered: recovered.find((one) => one.shard === id) ?? null,
    });
    shards.set(number, { shard, machine });
  }
  await links.listen();
  for (const [index, port] of settings.peerPorts.entries()) {
    links.addPeer((index + 1) as NodeId, { host: '127.0.0.1', port });
  }
  return shards;
}

function answer(
  shards: ReadonlyMap<number, ToyShard>,
  request: ToyRequest,
  done: (answer: ToyAnswer) => void,
): void {
  switch (request.type) {
    case 'status':
      done({
        ok: true,
        leads: [...shards].filter(([, one]) => one.shard.leadsForSure()).map(([number]) => number),
      });
      return;
    case 'put': {
      const target = shards.get(request.key % toyShards);
      const result = target?.shard.propose(ToyMachine.command(request.key, request.value), (fate) =>
        done({ ok: fate.type === 'applied' }),
      );
      if (result?.type !== 'accepted') done({ ok: false });
      return;
    }
    case 'dump': {
      const target = shards.get(request.shard);
      if (target === undefined) done({ ok: false });
      else target.shard.read((ok) => done(ok ? { ok, pairs: [...target.machine.pairs] } : { ok }));
    }
  }
}

function serve(shards: ReadonlyMap<number, ToyShard>, socket: Socket): void {
  socket.on('error', () => {});
  const lines = createInterface(socket);
  lines.on('error', () => {});
  lines.on('line', (line) => {
    const request = JSON.parse(line) as ToyRequest & { readonly id: number };
    answer(shards, request, (result) => {
      if (!socket.destroyed) socket.write(`${JSON.stringify({ id: request.id, ...result })}\n`);
    });
  });
}

process.stdin.on('end', () => process.exit(0)).resume();
try {
  const shards = await open();
  createServer({ noDelay: true }, (socket) => serve(shards, socket)).listen(settings.clientPort, '127.0.0.1');
} catch (error) {
  fail('could not start', error);
}
