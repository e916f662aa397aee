import { finding, inOrder, type Finding } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { nodeStatus, serviceSummaries, type NodeStatus } from '../services/node-status';
import { onNodes } from '../transport/on-nodes';
import { natsOptionsOf, reachContext, timeoutOf } from '../transport/open-reach';
import { version } from '../version';
import { machineFindings, nodeNames } from './machine-findings';
import { nodeFindings, versionFindings } from './node-findings';

/** Where kubelet keeps its files unless `--kubelet-dir` says otherwise. */
const defaultKubeletFolder = '/var/lib/kubelet';

/** What was looked at, and what is wrong. */
export interface Examination {
  readonly findings: readonly Finding[];
  readonly statuses: readonly NodeStatus[];
}

/**
 * Looks at everything that can be seen from here: the services' own answers; on the node itself
 * also sockets, folders, configuration and kubelet; NATS where a server is named.
 */
export async function examine(call: Call): Promise<Examination> {
  const { flags, env, signal } = call;
  const findings: Finding[] = [];
  const { servers = [], ...context } = await reachContext(flags, env);
  if (servers.length > 0) {
    const { natsFindings } = await import('./nats-findings');
    const options = natsOptionsOf({ ...context, servers });
    findings.push(...(await natsFindings(options, timeoutOf(flags))));
  }
  const isNatsOut = findings.some(({ id }) => id === 'nats-away' || id === 'nats-login');
  const wantsNats = flags.has('node') || flags.has('all');
  if (isNatsOut && wantsNats) return { findings: inOrder(findings), statuses: [] };
  const asked = await askNodes(call).catch((error: unknown) => {
    signal.throwIfAborted();
    // What is wrong with NATS is why no node is found.
    if (findings.length === 0) throw error;
  });
  if (asked === undefined) return { findings: inOrder(findings), statuses: [] };
  const { reach, results } = asked;
  const statuses = results.map(({ value }) => value);
  findings.push(...statuses.flatMap(nodeFindings));
  const [own] = statuses;
  if (reach.kind === 'local' && own !== undefined) {
    const kubeletFolder = flags.text('kubelet-dir') ?? defaultKubeletFolder;
    findings.push(...(await machineFindings(own, { env, kubeletFolder, signal })));
    const names = nodeNames(Object.values(own.infos));
    if (names.length > 1) {
      const problem = `services of this machine call it ${names.join(', ')}`;
      findings.push(finding('node-name-differs', 'nodeName', problem, own.node));
    }
  }
  findings.push(...fleetVersions(statuses));
  return { findings: inOrder(findings), statuses };
}

async function askNodes(call: Call) {
  const reach = await call.open({ isLocalPreferred: true });
  const { results } = await onNodes(reach, call, (node, transport) => nodeStatus(transport, node));
  return { reach, results };
}

/** Differences between nodes, and from this program; those within a node are found there. */
function fleetVersions(statuses: readonly NodeStatus[]): Finding[] {
  const services = statuses.flatMap((status) =>
    serviceSummaries(status).flatMap(({ app, version: known }) =>
      known === undefined ? [] : [{ app: `${app} of ${status.node}`, version: known }],
    ),
  );
  const one = new Map(services.map((service) => [service.version, service]));
  return versionFindings([{ app: 'stowctl', version: version() }, ...one.values()]);
}
