import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { parseByteSize } from '@stowage/service-kit/byte-size';
import { appOf, containerOf, podOf, type Rendered } from './rendered';

type Rule<T> = readonly [what: string, holds: (subject: T) => boolean];

const daemonSetRules: readonly Rule<IDaemonSet>[] = [
  [
    'its selector finds its pods',
    ({ spec }) =>
      Object.entries(spec?.selector.matchLabels ?? { none: '' }).every(
        ([name, value]) => spec?.template.metadata?.labels?.[name] === value,
      ),
  ],
  [
    'it is rolled out to a part of the nodes at a time',
    ({ spec }) =>
      spec?.updateStrategy?.type === 'RollingUpdate' &&
      spec.updateStrategy.rollingUpdate?.maxUnavailable !== undefined,
  ],
];

const podRules: readonly Rule<IPodSpec>[] = [
  [
    'no namespace of the host',
    (pod) => [pod.hostNetwork, pod.hostPID, pod.hostIPC].every((value) => value !== true),
  ],
  ['no token of the API server', (pod) => pod.automountServiceAccountToken === false],
  [
    'the seccomp profile of the runtime',
    (pod) => pod.securityContext?.seccompProfile?.type === 'RuntimeDefault',
  ],
  [
    // A runtime that is restarted makes a new socket, which a mount of the old one never shows.
    'folders of the node are mounted, not sockets',
    (pod) =>
      (pod.volumes ?? []).every(
        ({ hostPath }) =>
          hostPath === undefined ||
          (hostPath.type !== 'Socket' &&
            hostPath.type !== 'File' &&
            !hostPath.path.endsWith('.sock')),
      ),
  ],
  [
    'no folder of the node is mounted whole',
    (pod) => (pod.volumes ?? []).every(({ hostPath }) => hostPath?.path !== '/'),
  ],
  [
    'every volume is mounted, and every mount has a volume',
    (pod) => {
      const volumes = (pod.volumes ?? []).map(({ name }) => name).sort();
      const mounts = pod.containers.flatMap(({ volumeMounts = [] }) =>
        volumeMounts.map(({ name }) => name),
      );
      return JSON.stringify(volumes) === JSON.stringify([...new Set(mounts)].sort());
    },
  ],
];

const containerRules: readonly Rule<IContainer>[] = [
  [
    'no capability',
    ({ securityContext: context }) =>
      JSON.stringify(context?.capabilities) === JSON.stringify({ drop: ['ALL'] }),
  ],
  [
    'no way to more rights',
    ({ securityContext: context }) =>
      context?.privileged === false && context.allowPrivilegeEscalation === false,
  ],
  [
    'a root file system that is only read',
    ({ securityContext: context }) => context?.readOnlyRootFilesystem === true,
  ],
  [
    'a request of CPU and of memory, and a limit of memory above it',
    ({ resources }) => {
      const [wanted, limit] = [resources?.requests?.memory, resources?.limits?.memory].map(
        (size) => parseByteSize(String(size)) ?? 0,
      ) as [number, number];
      return resources?.requests?.cpu !== undefined && wanted > 0 && limit >= wanted;
    },
  ],
  [
    'probes of start, life and readiness at a port that it has',
    ({ startupProbe, livenessProbe, readinessProbe, ports = [] }) =>
      [startupProbe, livenessProbe, readinessProbe].every((probe) =>
        ports.some(({ name }) => name === probe?.httpGet?.port),
      ),
  ],
  [
    'no two mounts at one place, and none below one that is only read',
    ({ volumeMounts = [] }) =>
      volumeMounts.every(({ mountPath }, index) =>
        volumeMounts.every(
          (other, at) =>
            at === index ||
            (other.mountPath !== mountPath &&
              (other.readOnly !== true || !mountPath.startsWith(`${other.mountPath}/`))),
        ),
      ),
  ],
];

/**
 * What holds for every pod of the chart, whatever the values.
 *
 * @returns what does not hold, a line each: service and rule.
 */
export function brokenRules(rendered: Rendered): string[] {
  return rendered.daemonSets.flatMap((daemonSet) =>
    [
      ...broken(daemonSetRules, daemonSet),
      ...broken(podRules, podOf(daemonSet)),
      ...broken(containerRules, containerOf(daemonSet)),
    ].map((rule) => `${appOf(daemonSet)}: ${rule}`),
  );
}

const broken = <T>(rules: readonly Rule<T>[], subject: T): string[] =>
  rules.filter(([, holds]) => !holds(subject)).map(([what]) => what);
