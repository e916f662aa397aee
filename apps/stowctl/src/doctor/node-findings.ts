import type { ServiceInfo } from '@stowage/commands';
import {
  finding,
  natsProblem,
  runtimeProblem,
  sizeText,
  stateProblem,
  type Finding,
} from '@stowage/status-view';
import { serviceSummaries, type GcStatus, type NodeStatus } from '../services/node-status';

/** What is wrong by the answers of a node's services. */
export function nodeFindings(status: NodeStatus): Finding[] {
  const { node, gateway, gc, infos } = status;
  const services = serviceSummaries(status);
  const asked = { 'runtime-gateway': gateway, 'image-service': status.stats, 'gc-worker': gc };
  const reach = Object.entries(asked).flatMap(([app, { error, isAbsent, isRefused }]) => {
    if (infos[app] !== undefined || error === undefined || isRefused === true) return [];
    if (isAbsent === true) return [finding('service-absent', app, error, node)];
    if (/only root|does not let/.test(error)) {
      return [finding('service-not-permitted', app, error, node)];
    }
    return [finding('service-down', app, error, node)];
  });
  const isDeserted = Object.values(asked).every(({ isAbsent }) => isAbsent === true);
  if (isDeserted) return [finding('services-absent', 'services', 'no service answers', node)];
  const runtime =
    gateway.reply?.available === false
      ? [runtimeFinding(gateway.reply.endpoint, gateway.reply.reason ?? 'no answer', node)]
      : [];
  return [
    ...reach,
    ...runtime,
    ...Object.values(infos).flatMap((info) => healthFindings(info)),
    ...discoveredFindings(status),
    ...(gc.reply === undefined ? [] : gcFindings(gc.reply, node)),
    ...versionFindings(
      services.flatMap(({ app, version }) => (version === undefined ? [] : [{ app, version }])),
      node,
    ),
  ];
}

const runtimeFinding = (endpoint: string, reason: string, node: string): Finding =>
  finding(runtimeProblem(reason), endpoint, reason, node);

/** Services that say on NATS that they are not well, where nothing else here says why. */
function discoveredFindings({ node, gateway, gc, discovered }: NodeStatus): Finding[] {
  const isExplained: Readonly<Record<string, boolean>> = {
    'runtime-gateway': gateway.reply?.available === false,
    'gc-worker': gc.reply !== undefined && gcFindings(gc.reply, node).length > 0,
  };
  return discovered.flatMap(({ app, state }) => {
    if (isExplained[app] === true || (state !== 'degraded' && state !== 'down')) return [];
    const id = state === 'down' ? 'service-down' : 'service-degraded';
    return [finding(id, app, `it says it is ${state}; stowctl doctor there says why`, node)];
  });
}

/** What the parts of a service report. */
function healthFindings({ app, node, health }: ServiceInfo): Finding[] {
  return health.components.flatMap(({ name, state, reason = 'no reason given' }) => {
    if (state === 'ok') return [];
    const ofState = stateProblem(reason);
    if (ofState !== undefined) return [finding(ofState, app, reason, node)];
    if (name === 'nats') return [finding(natsProblem(reason), `NATS of ${app}`, reason, node)];
    if (name.includes('runtime')) {
      // One finding for a socket, whichever services see it.
      const [, endpoint = 'runtime'] = /^(unix:\S+?): /.exec(reason) ?? [];
      return [runtimeFinding(endpoint, reason.replace(`${endpoint}: `, ''), node)];
    }
    if (/cannot be measured from this process/.test(reason)) {
      return [finding('image-filesystem-unseen', app, reason, node)];
    }
    // These are found in the worker's own answer, with more facts.
    if (app === 'gc-worker' && ['policy', 'collection', 'detection', 'commands'].includes(name))
      return [];
    const id = state === 'down' ? 'service-down' : 'service-degraded';
    return [finding(id, `${app}: ${name}`, reason, node)];
  });
}

/** What gc-worker's status says of disks, policy and collections. */
export function gcFindings(gc: GcStatus, node: string): Finding[] {
  const one = (id: Finding['id'], subject: string, problem: string) =>
    finding(id, subject, problem, node);
  const found: Finding[] = [];
  if (gc.diskProblem !== undefined) {
    const isRuntime = /unix:|RuntimeUnavailable|not connected|ENOENT|ECONNREFUSED/.test(
      gc.diskProblem,
    );
    if (!isRuntime) found.push(one('image-filesystem-unseen', 'gc-worker', gc.diskProblem));
  }
  for (const disk of gc.disks) {
    const facts = `${disk.usedPercent} % used, ${sizeText(disk.availableBytes)} free`;
    if (disk.overHigh && disk.breakdown?.imagesSuffice === false) {
      const other = sizeText(disk.breakdown.otherBytes);
      found.push(
        one('disk-full-of-other-data', disk.mountpoint, `${facts}; ${other} are no images`),
      );
    }
    if (disk.overCritical) found.push(one('disk-critical', disk.mountpoint, facts));
    else if (disk.overHigh) found.push(one('disk-over-mark', disk.mountpoint, facts));
  }
  const failure = gc.lastCollection?.failure;
  if (failure !== undefined) {
    found.push(one('collection-fell-short', 'gc-worker', `${failure.code}: ${failure.message}`));
  }
  if (!gc.collects) {
    found.push(one('collection-off', 'gc-worker', 'no collection can start by itself'));
  }
  if (gc.use.unknown !== undefined) found.push(one('use-unknown', 'gc-worker', gc.use.unknown));
  if (gc.policyRefused !== undefined) {
    const { at, reason } = gc.policyRefused;
    found.push(one('policy-refused', 'gc-worker', `since ${at}: ${reason}`));
  }
  if (gc.records.state === 'not-written') {
    const reason = gc.records.reason ?? 'no reason given';
    const id = stateProblem(`cannot be written: ${reason}`) ?? 'state-unusable';
    found.push(one(id, 'gc-worker', `${gc.records.path}: ${reason}`));
  }
  for (const pattern of gc.exemptUnmatched) {
    found.push(one('exempt-unmatched', pattern, 'no image of this node is exempt by it'));
  }
  return found;
}

/** Services that belong to different releases. */
export function versionFindings(
  services: readonly { readonly app: string; readonly version: string }[],
  node?: string,
): Finding[] {
  const versions = new Set(services.map(({ version }) => version));
  if (versions.size < 2) return [];
  const list = services.map(({ app, version }) => `${app} ${version}`).join(', ');
  return [finding('versions-differ', 'services', list, node)];
}
