/** How bad it is: something does not work, or will not for long. */
export type Level = 'critical' | 'warning';

/**
 * What can be wrong, and what to do about it. The words are a contract: monitoring filters by them.
 */
export const catalogue = {
  'service-absent': {
    level: 'warning',
    remedy: 'start it, or name the folder of its socket with --sockets (key commandSocket)',
  },
  'services-absent': {
    level: 'critical',
    remedy: 'start the services, or name the folder of their sockets with --sockets',
  },
  'service-not-permitted': {
    level: 'critical',
    remedy: 'run stowctl as root, or over NATS with the login of an operator (deploy/nats)',
  },
  'service-down': {
    level: 'critical',
    remedy: 'its log says more: journalctl -u stowage-NAME, or docker logs',
  },
  'service-degraded': {
    level: 'warning',
    remedy: 'it clears by itself once the cause is gone; docs/operations.md lists the causes',
  },
  'runtime-socket-missing': {
    level: 'critical',
    remedy:
      'start the runtime, or set runtimeEndpoint to its socket; in a container mount the folder of the socket',
  },
  'runtime-permission': {
    level: 'critical',
    remedy: 'run the service as root, or give its user the group of the socket',
  },
  'runtime-stale-socket': {
    level: 'critical',
    remedy:
      'nobody listens there: start the runtime; where the socket is mounted as a file, mount its folder, since a restart of the runtime makes a new file',
  },
  'runtime-without-cri': {
    level: 'critical',
    remedy:
      'take "cri" out of disabled_plugins in /etc/containerd/config.toml and restart containerd',
  },
  'runtime-down': {
    level: 'critical',
    remedy: 'see the log of the runtime, and crictl info',
  },
  'image-filesystem-unseen': {
    level: 'critical',
    remedy:
      'mount it for gc-worker at the path that the runtime reports, or set hostRoot (STOWAGE_HOST_ROOT)',
  },
  'content-store-unseen': {
    level: 'warning',
    remedy:
      'mount the folder for image-service, read-only, or set containerdContentDir; without it progress is approximate',
  },
  'disk-over-mark': {
    level: 'warning',
    remedy: 'stowctl plan shows what a collection would remove',
  },
  'disk-critical': {
    level: 'critical',
    remedy: 'stowctl plan shows what a collection would remove; stowctl gc run removes it',
  },
  'disk-full-of-other-data': {
    level: 'critical',
    remedy: 'look for logs, volumes and foreign files there: no removal of images is enough',
  },
  'collection-fell-short': {
    level: 'warning',
    remedy: 'stowctl plan says what keeps the images',
  },
  'collection-off': {
    level: 'warning',
    remedy: 'set highThreshold below 100, or maxAge, unless that is meant',
  },
  'use-unknown': {
    level: 'warning',
    remedy: 'unused images are kept until the runtime answers about all containers',
  },
  'exempt-unmatched': {
    level: 'warning',
    remedy: 'check the pattern for a slip: it protects nothing on this node',
  },
  'policy-refused': {
    level: 'warning',
    remedy: 'correct the configuration file; until then the policy before it counts',
  },
  'configuration-wrong': {
    level: 'critical',
    remedy: 'the service does not start with it: correct the key; stowctl config explain KEY',
  },
  'variable-misspelt': {
    level: 'warning',
    remedy: 'rename the variable: as it is, it has no effect',
  },
  'state-read-only': {
    level: 'critical',
    remedy: 'mount the state folder for writing, or set stateDir elsewhere',
  },
  'state-full': {
    level: 'critical',
    remedy: 'make room on the file system of the state folder',
  },
  'state-in-use': {
    level: 'critical',
    remedy: 'end the other process, or give each instance a stateDir of its own',
  },
  'state-unusable': {
    level: 'critical',
    remedy: 'the state folder has to be a folder that the service may write',
  },
  'nats-away': {
    level: 'warning',
    remedy: 'check natsServers and the network; events wait on disk meanwhile',
  },
  'nats-login': {
    level: 'critical',
    remedy: 'check natsCreds, natsNkeySeed or the login in natsServers against deploy/nats',
  },
  'nats-permission': {
    level: 'critical',
    remedy: 'give the role the permissions of deploy/nats, and the connection its inbox prefix',
  },
  'nats-no-jetstream': {
    level: 'critical',
    remedy: 'switch JetStream on for the account of the login',
  },
  'stream-missing': {
    level: 'warning',
    remedy: 'a service with streamManaged creates it; otherwise its operator does (deploy/nats)',
  },
  'stream-unfit': {
    level: 'critical',
    remedy: 'change the stream as the problem says: nats stream edit STOWAGE_EVENTS',
  },
  'stream-settings': {
    level: 'warning',
    remedy: 'change the stream, or the keys stream… of the services, until both agree',
  },
  'kubelet-collects-too': {
    level: 'warning',
    remedy: 'set imageGCHighThresholdPercent: 100 in kubelet, so that only gc-worker collects',
  },
  'node-name-differs': {
    level: 'warning',
    remedy: 'set nodeName (STOWAGE_NODE_NAME) to the name that the node has in Kubernetes',
  },
  'versions-differ': {
    level: 'warning',
    remedy: 'bring all services, and stowctl, to one version',
  },
  'clock-off': {
    level: 'warning',
    remedy: 'synchronise the clocks: ages and times of events come from them',
  },
} as const satisfies Readonly<Record<string, { level: Level; remedy: string }>>;

export type FindingId = keyof typeof catalogue;

/** Something that is wrong. */
export interface Finding {
  readonly id: FindingId;
  readonly level: Level;
  /** Node name; absent for what no single node has. */
  readonly node?: string;
  /** What it is about: a service, a file, a disk, NATS. */
  readonly subject: string;
  /** In words, with the facts. */
  readonly problem: string;
  /** What to do. */
  readonly remedy: string;
}

/** A finding with the level and the remedy of the catalogue. */
export const finding = (
  id: FindingId,
  subject: string,
  problem: string,
  node?: string,
): Finding => ({ id, ...catalogue[id], node, subject, problem });

/** Without those that say the same of the same twice; the worst first. */
export function inOrder(findings: readonly Finding[]): Finding[] {
  const unique = new Map(
    findings.map((one) => [`${one.id} ${one.node ?? ''} ${one.subject}`, one]),
  );
  const rank = ({ level }: Finding): number => (level === 'critical' ? 0 : 1);
  return [...unique.values()].toSorted((a, b) => rank(a) - rank(b));
}
