/**
 * A node, wired: each step starts one part and says how to stop it. Read top-down this is what a start does; a stop is the same
 * list backwards.
 */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, META_SHARD, MultiRaft, type NodeId, type ShardHost } from '@seriatim/multiraft';
import { DEFAULT_LIMITS, RefusalError } from '@seriatim/protocol';
import type { DeadLetterWriter } from '../consume-contracts.ts';
import { LeaderAdministration, serveAdministration } from '../front/administration-caller.ts';
import { FrontDeadLetters } from '../front/dead-letters.ts';
import { FrontDoor } from '../front/front-door.ts';
import { defaultGrpcLimits, GrpcServer } from '../front/grpc-server.ts';
import { MetaService } from '../meta/service.ts';
import { MetaState } from '../meta/state.ts';
import type { AdministrationCaller } from '../subscription-contracts.ts';
import { type NodeConfig, splitAddress } from './config.ts';
import { handOverLeaderships } from './hand-over.ts';
import { hostConfig } from './host-settings.ts';
import { HttpServer } from './http.ts';
import { type ClusterPart, takePart } from './joining.ts';
import { SharedLeaderDirectory } from './leader-directory.ts';
import type { Logger } from './log.ts';
import { NodeMetrics } from './metrics.ts';
import { NodePartitions, type NodePartitionsOptions } from './node-partitions.ts';
import { observedHost } from './observed-host.ts';
import { type NodeStorage, openStorage } from './open-storage.ts';
import { defaultPeerCallLimits, FramedPeerCalls } from './peer-calls.ts';
import { PeerClocks } from './peer-clocks.ts';
import type { PeerLinks } from './peer-links.ts';
import { openPeerLinks } from './peers.ts';
import { segmentSource } from './segment-source.ts';
import { StopList } from './stop-list.ts';
import { VERSION } from './version.ts';

/** What a start is given. */
export interface NodeOptions {
  readonly config: NodeConfig;
  readonly clock: Clock;
  readonly log: Logger;
  /** A fault after which the node must not go on: the process ends. */
  readonly onFault: (error: Error) => void;
  /** Aborts a start that waits for its peers. */
  readonly signal: AbortSignal;
}

/** A node that runs. */
export interface RunningNode {
  /** Hands over, drains and closes everything. */
  stop(): Promise<void>;
}

/** Name of the file with the process id, in the data directory. */
export const PID_FILE = 'node.pid';

/** Parts of the time for stopping: handing leaderships over, and answering what is under way. */
const HAND_OVER_PART = 0.4;
const DRAIN_PART = 0.3;
const READY_LOOK_MILLISECONDS = 20;

/** Starts a node; resolves when it takes requests. Rejects, with everything stopped again, when it can't. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const stops = new StopList((part, error) => options.log.warn({ part, err: error }, 'stopping failed'));
  try {
    const page = await openHttp(options, stops);
    const ground = await openGround(options, stops, page);
    page.notReady = 'the node waits until it is clear how it takes part in its cluster';
    const part = await takePart({ ...options, ...ground }, options.signal);
    page.notReady = 'the node is being registered and opens its replicas';
    const shards = await openShards(options, stops, ground, part);
    await openFront(options, stops, page, ground, shards);
    return { stop: () => stops.stop() };
  } catch (error) {
    await stops.stop();
    throw error;
  }
}

/** What the HTTP port shows; it is there first, since a node that waits for its peers is alive. */
interface Page {
  notReady: string | null;
  metrics: NodeMetrics | null;
}

async function openHttp({ config }: NodeOptions, stops: StopList): Promise<Page> {
  const page: Page = { notReady: 'the data directory is being opened', metrics: null };
  const http = new HttpServer({
    notReady: () => page.notReady,
    metrics: async () => (await page.metrics?.scrape()) ?? { contentType: 'text/plain', body: '' },
  });
  await http.listen(splitAddress(config.listen.http));
  stops.add('http', () => http.close());
  return page;
}

/** The disk, the other nodes, and what is said between them. */
interface Ground {
  readonly storage: NodeStorage;
  readonly links: PeerLinks;
  readonly calls: FramedPeerCalls;
  readonly leaders: SharedLeaderDirectory;
  readonly clocks: PeerClocks;
  readonly peers: readonly NodeId[];
}

async function openGround(options: NodeOptions, stops: StopList, page: Page): Promise<Ground> {
  const { config, clock, log } = options;
  const node = config.nodeId as NodeId;
  const peers = config.peers.map((peer) => peer.id as NodeId).filter((id) => id !== node);

  const storage = await openStorage({
    ...options,
    onSync: (milliseconds) => page.metrics?.synced(milliseconds),
  });
  stops.add('storage', () => storage.store.close());
  const pidFile = join(config.dataDirectory, PID_FILE);
  await writeFile(pidFile, `${process.pid}\n`);
  stops.add('pid file', () => rm(pidFile, { force: true }));

  const links = await openPeerLinks(config, storage, log);
  stops.add('peer links', () => links.close());
  const calls = new FramedPeerCalls(links, clock, defaultPeerCallLimits);
  stops.add('peer calls', () => calls.close());
  const leaders = new SharedLeaderDirectory(node, links, clock, () => peers);
  leaders.start();
  stops.add('leader directory', () => leaders.stop());
  const clocks = new PeerClocks(links, clock, () => peers);
  clocks.start();
  stops.add('peer clocks', () => clocks.stop());
  return { storage, links, calls, leaders, clocks, peers };
}

/** The replicated part: consensus, the meta shard, the partitions placed here. */
interface Shards {
  readonly host: ShardHost;
  readonly state: MetaState;
  readonly meta: MetaService;
  readonly partitions: NodePartitions;
  readonly administration: AdministrationCaller;
  /** The front door gives it what writes dead letters; until then they wait. */
  readonly letters: { writer: DeadLetterWriter | null };
  readonly clusterId: string;
}

async function openShards(
  options: NodeOptions,
  stops: StopList,
  ground: Ground,
  part: ClusterPart,
): Promise<Shards> {
  const { config, clock, log } = options;
  const { storage, links, calls, leaders, peers } = ground;
  const node = config.nodeId as NodeId;
  const recovered = new Map(storage.recovered.map((shard) => [shard.shard, shard]));
  const found = new Map([...recovered].map(([shard, { replica }]) => [shard, replica]));

  const raft = new MultiRaft({
    node,
    clock,
    transport: links,
    store: storage.store,
    random: Math.random,
    config: hostConfig(config),
    onShardFault: (shard, error) => log.error({ shard, err: error }, 'a shard was closed, the others go on'),
  });
  stops.add('consensus', () => raft.stop());
  const host = observedHost(raft, leaders);

  const state = new MetaState();
  state.tellMembers(part.metaMembers);
  await host.open({
    shard: META_SHARD,
    replica: part.metaReplica,
    stateMachine: state,
    initial: part.metaConfiguration,
    followersRead: true,
    locate: (replica) => state.metaNode(replica),
    recovered: recovered.get(META_SHARD) ?? null,
  });

  const letters: Shards['letters'] = { writer: null };
  const partitions = localPartitions(options, ground, { host, state, recovered, letters });
  stops.add('partitions', () => partitions.closeAll());
  const administration = new LeaderAdministration({ node, clock, leaders, partitions, calls });
  serveAdministration({ node, clock, leaders, partitions, calls });

  const meta = new MetaService({
    node,
    clock,
    calls,
    leaders,
    administration,
    state,
    found,
    shard: (id) => host.get(id),
    metaReplica: part.metaReplica,
    cluster: { id: part.clusterId, nodes: [node, ...peers].sort((left, right) => left - right) },
    registration: {
      clientAddress: config.advertise.client,
      peerAddress: config.advertise.peer,
      pid: process.pid,
      bootNumber: storage.bootNumber,
    },
    open: (replica) => partitions.open(replica),
    close: (shard) => partitions.close(shard),
    remove: (shard) => partitions.remove(shard),
    peerUp: (peer) => links.peerState(peer) === 'up',
    token: randomUUID,
    onEvent: (event) => log.info({ room: 'meta' }, event),
  });
  // A node that registers with another address is reached there from now on.
  state.onChange(() => {
    for (const { id, peerAddress } of state.nodes()) links.addPeer(id, splitAddress(peerAddress));
  });
  meta.start();
  stops.add('meta', () => meta.stop());
  return { host, state, meta, partitions, administration, letters, clusterId: part.clusterId };
}

function localPartitions(
  { config, clock, log }: NodeOptions,
  { storage, clocks }: Ground,
  shards: Pick<Shards, 'host' | 'state' | 'letters'> & Pick<NodePartitionsOptions, 'recovered'>,
): NodePartitions {
  const { host, state, letters, recovered } = shards;
  return new NodePartitions({
    clock,
    host,
    view: state,
    definitions: state,
    deadLetters: {
      write: async (letter, deadline) => (await letters.writer?.write(letter, deadline)) ?? { type: 'retry' },
    },
    recovered,
    locate: (shard, replica) => state.partitionNode(shard, replica),
    sourceOf: (shard) =>
      segmentSource(storage.store.segments, shard, (reason) =>
        log.error({ shard, reason }, 'damaged records'),
      ),
    removeFiles: (shard) => storage.store.remove(shard),
    clockTrusted: () => clocks.trusted(),
    diskHasRoom: () => storage.store.status() === 'ok',
    retentionMilliseconds: config.retentionCheckMilliseconds,
  });
}

async function openFront(
  options: NodeOptions,
  stops: StopList,
  page: Page,
  ground: Ground,
  shards: Shards,
): Promise<void> {
  const { config, clock, log, signal } = options;
  const { storage, links, calls, leaders, peers } = ground;
  const { host, state, meta, partitions } = shards;
  const peerState = links.peerState.bind(links);

  const door = new FrontDoor({
    node: config.nodeId as NodeId,
    clock,
    view: state,
    router: meta.router,
    assigner: meta.assigner,
    admin: meta.admin,
    leaders,
    partitions,
    calls,
    peerState,
    definitions: state,
    subscriptions: meta.subscriptions,
    administration: shards.administration,
    limits: { ...DEFAULT_LIMITS, ...config.limits },
    version: VERSION,
  });
  shards.letters.writer = new FrontDeadLetters({
    view: state,
    definitions: state,
    produce: (request, deadline) => door.orderedProduce(request, deadline),
  });
  const grpc = new GrpcServer({
    door,
    clock,
    listen: config.listen.client,
    limits: { ...defaultGrpcLimits, requestBytesInFlightMax: config.limits.requestBytesInFlightMax },
    onFailure: (method, error) => {
      page.metrics?.refused(method, error);
      if (!(error instanceof RefusalError)) log.error({ method, err: error }, 'a call failed by a bug');
    },
  });
  page.metrics = new NodeMetrics({
    view: state,
    host,
    partitions,
    routingHitRate: () => meta.router.hitRate(),
    produced: () => door.counters,
    definitions: state,
    consumed: () => door.consumed,
    peers: () => peers.map((id) => ({ id, state: peerState(id) })),
    callsInFlight: () => grpc.callsInFlight,
    requestBytesInFlight: () => grpc.requestBytesInFlight,
    storage: () => storage.store.statistics(),
  });
  await grpc.listen();
  stops.add('grpc', () => grpc.close());
  stops.add('clients', async () => {
    grpc.serve(false);
    page.notReady = 'the node is shutting down';
    const left = await handOverLeaderships(host, clock, config.shutdownMilliseconds * HAND_OVER_PART);
    if (left > 0) log.warn({ shards: left }, 'nobody took these leaderships over');
    door.close();
    await grpc.drain(config.shutdownMilliseconds * DRAIN_PART);
  });

  while (!meta.ready) {
    if (signal.aborted) throw new RefusalError('SHUTTING_DOWN', 'the node was stopped before it was ready');
    await new Promise<void>((resolve) => clock.after(READY_LOOK_MILLISECONDS, resolve));
  }
  page.notReady = null;
  grpc.serve(true);
  log.info(
    { client: config.listen.client, bootNumber: storage.bootNumber, clusterId: shards.clusterId },
    'ready',
  );
}
