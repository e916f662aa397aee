import {
  dockerShim,
  gcWorker,
  imageService,
  runtimeGateway,
  type CommandReply,
  type ServiceInfo,
} from '@stowage/commands';
import { errorMessage } from '@stowage/errors';
import { isNotOffered, isUnanswered } from '../failure-text';
import type { DiscoveredService } from '../transport/discovered-services';
import type { Transport } from '../transport/reach';

export type GatewayStatus = CommandReply<typeof runtimeGateway.status>;
export type GatewayVersion = CommandReply<typeof runtimeGateway.version>;
export type ImageStats = CommandReply<typeof imageService.stats>;
export type GcStatus = CommandReply<typeof gcWorker.status>;
export type ShimStatus = CommandReply<typeof dockerShim.status>;

/** What a service answered; `error` where it did not. */
export interface Asked<T> {
  readonly reply?: T;
  /** In words. */
  readonly error?: string;
  /** Nobody answers there. */
  readonly isAbsent?: boolean;
  /** The verb is not answered to this caller. */
  readonly isRefused?: boolean;
}

/** Everything that the services of a node say of it. */
export interface NodeStatus {
  readonly node: string;
  readonly gateway: Asked<GatewayStatus>;
  readonly version: Asked<GatewayVersion>;
  readonly stats: Asked<ImageStats>;
  readonly gc: Asked<GcStatus>;
  /** Of docker-shim, which few nodes have. */
  readonly shim: Asked<ShimStatus>;
  /** By service; only where they are asked through their own sockets. */
  readonly infos: Readonly<Record<string, ServiceInfo>>;
  /** What they say of themselves on NATS; only where they are asked over it. */
  readonly discovered: readonly DiscoveredService[];
}

export type ServiceState = 'ok' | 'degraded' | 'down' | 'absent' | 'unknown';

/** One service of a node in a few words. */
export interface ServiceSummary {
  readonly app: string;
  readonly state: ServiceState;
  /** Undefined where it cannot be asked for. */
  readonly version?: string;
  /** What is wrong, or what it does. */
  readonly detail: string;
}

/** Longest wait for docker-shim, which is absent on most nodes. Milliseconds. */
const shimTimeoutMs = 2000;

const asked = async <T>(ask: () => Promise<T>): Promise<Asked<T>> => {
  try {
    return { reply: await ask() };
  } catch (error) {
    return {
      error: errorMessage(error),
      ...(isUnanswered(error) && { isAbsent: true }),
      ...(isNotOffered(error) && { isRefused: true }),
    };
  }
};

/** Asks all services of a node. What does not answer is part of the result. */
export async function nodeStatus(transport: Transport, node: string): Promise<NodeStatus> {
  const infos = async () => {
    const found: Record<string, ServiceInfo> = {};
    for (const app of ['runtime-gateway', 'image-service', 'gc-worker', 'docker-shim']) {
      const { reply } = await asked(() => transport.info(node, app));
      if (reply !== undefined) found[app] = reply;
    }
    return found;
  };
  const [gateway, version, stats, gc, shim, known, discovered] = await Promise.all([
    asked(() => transport.send(node, runtimeGateway.status, {})),
    asked(() => transport.send(node, runtimeGateway.version, {})),
    asked(() => transport.send(node, imageService.stats, {})),
    asked(() => transport.send(node, gcWorker.status, {})),
    // Servers before 2.10 do not say that nobody listens.
    asked(() => transport.send(node, dockerShim.status, {}, { timeoutMs: shimTimeoutMs })),
    infos(),
    transport.discovered(node).catch(() => []),
  ]);
  return { node, gateway, version, stats, gc, shim, infos: known, discovered };
}

/** The services of a node, each with its state. */
export function serviceSummaries(status: NodeStatus): ServiceSummary[] {
  const { gateway, version, stats, gc, shim, infos } = status;
  return [
    summary(status, 'runtime-gateway', gateway, {
      state: gateway.reply?.available === false ? 'down' : 'ok',
      detail:
        gateway.reply?.available === false
          ? (gateway.reply.reason ?? 'the runtime does not answer')
          : runtimeText(version.reply),
      version: version.reply?.gatewayVersion,
    }),
    summary(status, 'image-service', stats, {
      state: 'ok',
      detail: stats.reply === undefined ? '' : `${stats.reply.imageCount} images`,
    }),
    summary(status, 'gc-worker', gc, gcSummary(gc.reply)),
    ...(shim.reply === undefined && infos['docker-shim'] === undefined
      ? []
      : [summary(status, 'docker-shim', shim, shimSummary(shim.reply))]),
  ];
}

function shimSummary(
  shim: ShimStatus | undefined,
): Pick<ServiceSummary, 'state' | 'detail' | 'version'> {
  if (shim === undefined) return { state: 'unknown', detail: '' };
  const { version, available, reason, engineVersion = '-', apiVersion = '-' } = shim;
  return available
    ? { version, state: 'ok', detail: `Docker Engine ${engineVersion}, API ${apiVersion}` }
    : { version, state: 'down', detail: reason ?? 'the engine does not answer' };
}

const runtimeText = (version: GatewayVersion | undefined): string =>
  version === undefined
    ? ''
    : `${version.runtimeName} ${version.runtimeVersion}, CRI ${version.criVersion ?? '-'}`;

function gcSummary(gc: GcStatus | undefined): Pick<ServiceSummary, 'state' | 'detail'> {
  if (gc === undefined) return { state: 'unknown', detail: '' };
  const problems = [
    gc.diskProblem,
    gc.policyRefused && `policy refused: ${gc.policyRefused.reason}`,
    gc.use.unknown,
    gc.records.state === 'not-written' ? gc.records.reason : undefined,
    gc.disks.some(({ overHigh }) => overHigh) ? gc.lastCollection?.failure?.message : undefined,
  ].filter((problem) => problem !== undefined);
  if (problems.length > 0) return { state: 'degraded', detail: problems.join('; ') };
  const last = gc.lastCollection;
  return {
    state: 'ok',
    detail: [
      `${gc.records.images} images known`,
      gc.paused == null ? undefined : `paused until ${gc.paused.until}: ${gc.paused.reason}`,
      gc.policy.collect === 'on' ? undefined : `collect: ${gc.policy.collect}`,
      gc.collects || gc.policy.collect !== 'on' ? undefined : 'does not collect by itself',
      gc.holds.length === 0 ? undefined : `${gc.holds.length} images held`,
      last == null ? 'no collection yet' : `last collection removed ${last.removedCount}`,
    ]
      .filter((part) => part !== undefined)
      .join(', '),
  };
}

function summary(
  { infos, discovered }: NodeStatus,
  app: string,
  { reply, error, isAbsent, isRefused }: Asked<unknown>,
  said: Pick<ServiceSummary, 'state' | 'detail' | 'version'>,
): ServiceSummary {
  const info = infos[app];
  if (info !== undefined) {
    const reasons = info.health.components.flatMap(({ name, state, reason }) =>
      state === 'ok' ? [] : [`${name} ${state}${reason === undefined ? '' : `: ${reason}`}`],
    );
    const detail = reasons.length > 0 ? reasons.join('; ') : said.detail;
    return { app, version: info.version, state: info.health.state as ServiceState, detail };
  }
  if (reply === undefined && isAbsent === true) {
    return { app, state: 'absent', detail: 'nobody answers' };
  }
  const found = discovered.find((one) => one.app === app);
  const version = said.version ?? found?.version;
  if (reply === undefined) {
    return { app, version, state: isRefused === true ? 'unknown' : 'down', detail: error ?? '' };
  }
  return isWorse(found?.state, said.state)
    ? { app, version, state: found?.state as ServiceState, detail: elsewhere }
    : { app, ...said, version };
}

/** Of a service whose reasons are not published. */
const elsewhere = 'stowctl status on the node itself, or /readyz, says why';

/** From good to bad. */
const order: readonly ServiceState[] = ['ok', 'unknown', 'degraded', 'down', 'absent'];

/** Whether a word is a state that is worse; a word of a later release is none. */
const isWorse = (word: string | undefined, state: ServiceState): boolean =>
  order.indexOf(word as ServiceState) > order.indexOf(state);

/** The state of a node: the worst of its services. */
export function worstState(one: NodeStatus): ServiceState {
  const states = serviceSummaries(one).map(({ state }) => state);
  if (states.every((state) => state === 'absent')) return 'absent';
  // One that is not installed there says nothing of the others.
  const there = states.filter((state) => state !== 'absent');
  return there.reduce((a, b) => (order.indexOf(a) >= order.indexOf(b) ? a : b));
}
