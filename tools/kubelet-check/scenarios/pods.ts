import { messagesOf } from '../describe-pod';
import type { Pod } from '../kubelet';
import type { Images } from '../lab';
import type { Scenario } from '../scenario';

/** A pod and the state that it comes to. */
interface PodCase {
  readonly name: string;
  readonly what: string;
  readonly spec: (images: Images) => Record<string, unknown>;
  /** As `describePod` says it. */
  readonly state: string | RegExp;
  /** Containers whose log is compared, and what it holds. */
  readonly logs?: Readonly<Record<string, string | RegExp>>;
}

/** A shell that waits and ends at once when it is asked to. */
const wait = "trap 'exit 0' TERM; while :; do sleep 1; done";

const shell = (script: string): string[] => ['sh', '-c', script];

/** A container with the image of most pods. */
const container = (
  { app }: Images,
  script: string,
  more: Record<string, unknown> = {},
): Record<string, unknown> => ({
  name: 'main',
  image: app.reference,
  command: shell(script),
  ...more,
});

const one =
  (script: string, more: Record<string, unknown> = {}, pod: Record<string, unknown> = {}) =>
  (images: Images): Record<string, unknown> => ({
    containers: [container(images, script, more)],
    ...pod,
  });

const never = { restartPolicy: 'Never' };

/** What is checked: the states that pods of every kind come to. */
const cases: readonly PodCase[] = [
  {
    name: 'init-and-sidecar',
    what: 'an init container, a sidecar with a startup probe, a volume that they share, probes by HTTP and by exec',
    spec: (images) => ({
      volumes: [{ name: 'shared', emptyDir: {} }],
      initContainers: [
        container(images, 'echo from init > /shared/file; echo init', {
          name: 'first',
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
        }),
        container(images, wait, {
          name: 'sidecar',
          restartPolicy: 'Always',
          startupProbe: { exec: { command: ['true'] }, periodSeconds: 1 },
        }),
      ],
      containers: [
        container(
          images,
          `cat /shared/file; mkdir /www; echo ok > /www/index.html; httpd -p 8080 -h /www; ${wait}`,
          {
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
            startupProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 },
            livenessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 2 },
            readinessProbe: { exec: { command: ['cat', '/shared/file'] }, periodSeconds: 1 },
          },
        ),
      ],
    }),
    state: 'Running; first: Completed 0; sidecar: running, ready; main: running, ready',
    logs: { first: 'init\n', main: 'from init\n' },
  },
  {
    name: 'completed',
    what: 'a pod that is done',
    spec: one('echo fine', {}, never),
    state: 'Succeeded; main: Completed 0',
    logs: { main: 'fine\n' },
  },
  {
    name: 'failed',
    what: 'a pod that fails, with the end of its log as message',
    spec: one('echo so long; exit 4', { terminationMessagePolicy: 'FallbackToLogsOnError' }, never),
    state: 'Failed; main: Error 4',
  },
  {
    name: 'message',
    what: 'a container that leaves a message',
    spec: one('echo gone fishing > /dev/termination-log; exit 5', {}, never),
    state: 'Failed; main: Error 5',
  },
  {
    name: 'init-failed',
    what: 'an init container that fails',
    spec: (images) => ({
      ...never,
      initContainers: [container(images, 'exit 3', { name: 'first' })],
      containers: [container(images, wait)],
    }),
    state: 'Failed; first: Error 3; main: PodInitializing',
  },
  {
    name: 'crash-loop',
    what: 'a container that ends again and again',
    spec: one('echo crash; exit 7'),
    state: 'Running; main: CrashLoopBackOff, 2 restarts, before Error 7',
  },
  {
    name: 'out-of-memory',
    what: 'a container that needs more memory than it may have',
    spec: one('tail /dev/zero', { resources: { limits: { memory: '16Mi' } } }, never),
    state: 'Failed; main: OOMKilled 137',
  },
  {
    name: 'no-program',
    what: 'a command that is not in the image',
    spec: (images) => ({
      ...never,
      containers: [{ name: 'main', image: images.app.reference, command: ['no-such-program'] }],
    }),
    // The one is what containerd says, the other what a Docker Engine does.
    state: /^Failed; main: (StartError 128|ContainerCannotRun 127)$/,
  },
  {
    name: 'liveness',
    what: 'a container that is restarted because its liveness probe fails',
    spec: one(
      'while :; do sleep 1; done',
      {
        livenessProbe: {
          exec: { command: shell('exit 1') },
          periodSeconds: 1,
          failureThreshold: 2,
        },
      },
      { terminationGracePeriodSeconds: 1 },
    ),
    state: 'Running; main: running, ready, 1 restart, before Error 137',
  },
  {
    name: 'readiness',
    what: 'a readiness probe that takes longer than its time limit',
    spec: one(wait, {
      readinessProbe: { exec: { command: ['sleep', '5'] }, periodSeconds: 1, timeoutSeconds: 1 },
    }),
    state: 'Running; main: running, not ready',
  },
  {
    name: 'post-start',
    what: 'a hook that fails after the start',
    spec: one(
      wait,
      { lifecycle: { postStart: { exec: { command: shell('exit 9') } } } },
      { terminationGracePeriodSeconds: 1 },
    ),
    state: 'Running; main: CrashLoopBackOff, 1 restart, before Completed 0',
  },
  {
    name: 'host-network',
    what: 'a pod in the network of the node',
    spec: one(`cat /sys/class/net/lo/address; ${wait}`, {}, { hostNetwork: true }),
    state: 'Running; main: running, ready',
    logs: { main: '00:00:00:00:00:00\n' },
  },
  {
    name: 'volumes',
    what: 'volumes in memory, of the downward API, and a part of a volume',
    spec: (images) => ({
      volumes: [
        { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
        {
          name: 'about',
          downwardAPI: {
            items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
      containers: [
        container(
          images,
          `cat /about/name; echo; grep -c ' /memory tmpfs ' /proc/mounts; ls -d /part; ${wait}`,
          {
            volumeMounts: [
              { name: 'memory', mountPath: '/memory' },
              { name: 'about', mountPath: '/about' },
              { name: 'memory', mountPath: '/part', subPath: 'part' },
            ],
          },
        ),
      ],
    }),
    state: 'Running; main: running, ready',
    logs: { main: 'shop\n1\n/part\n' },
  },
  {
    name: 'user',
    what: 'a container as another user, with few capabilities and limits',
    spec: one(`id -u; id -g; grep NoNewPrivs /proc/self/status; ${wait}`, {
      securityContext: {
        runAsUser: 1000,
        runAsGroup: 2000,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      },
      resources: { limits: { cpu: '200m', memory: '32Mi' }, requests: { cpu: '10m' } },
    }),
    state: 'Running; main: running, ready',
    logs: { main: '1000\n2000\nNoNewPrivs:\t1\n' },
  },
  {
    name: 'settings',
    what: 'names, groups, a sysctl, seccomp and processes of a pod, and a root that is read-only',
    spec: one(
      [
        'hostname; cat /etc/resolv.conf; grep alias /etc/hosts; id -G',
        'cat /proc/sys/kernel/shm_rmid_forced /proc/1/comm; grep Seccomp: /proc/self/status',
        'touch /file 2>/dev/null || echo read-only',
        wait,
      ].join('; '),
      { securityContext: { readOnlyRootFilesystem: true } },
      {
        hostname: 'named',
        shareProcessNamespace: true,
        hostAliases: [{ ip: '192.0.2.9', hostnames: ['alias.example'] }],
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['192.0.2.1'],
          searches: ['shop.example'],
          options: [{ name: 'ndots', value: '3' }],
        },
        securityContext: {
          supplementalGroups: [4000],
          seccompProfile: { type: 'RuntimeDefault' },
          sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }],
        },
      },
    ),
    state: 'Running; main: running, ready',
    logs: {
      main: [
        'named',
        'search shop.example',
        'nameserver 192.0.2.1',
        'options ndots:3',
        '192.0.2.9\talias.example',
        '0 4000',
        '1',
        'sleep',
        'Seccomp:\t2',
        'read-only\n',
      ].join('\n'),
    },
  },
  {
    name: 'must-not-be-root',
    what: 'an image of root where root is not allowed',
    spec: one(wait, { securityContext: { runAsNonRoot: true } }),
    state: 'Pending; main: CreateContainerConfigError',
  },
  {
    name: 'always-pulled',
    what: 'an image that is pulled for every container',
    spec: ({ other }) => ({
      containers: [
        { name: 'main', image: other.reference, imagePullPolicy: 'Always', command: shell(wait) },
      ],
    }),
    state: 'Running; main: running, ready',
  },
  {
    name: 'by-digest',
    what: 'an image named by its digest',
    spec: ({ other }) => ({
      containers: [{ name: 'main', image: other.repoDigest, command: shell(wait) }],
    }),
    state: 'Running; main: running, ready',
  },
  {
    name: 'never-pulled',
    what: 'an image that is not there and must not be pulled',
    spec: ({ third }) => ({
      containers: [
        { name: 'main', image: third.reference, imagePullPolicy: 'Never', command: shell(wait) },
      ],
    }),
    state: 'Pending; main: ErrImageNeverPull',
  },
  ...(
    [
      ['no-repository', 'a repository that does not exist', '/no-such-repository:1'],
      ['no-tag', 'a tag that does not exist', '/app:no-such-tag'],
    ] as const
  ).map(([name, what, image]): PodCase => ({
    name,
    what,
    spec: ({ app }) => ({
      containers: [{ name: 'main', image: app.reference.replace(/\/.*/, image) }],
    }),
    state: 'Pending; main: ImagePullBackOff',
  })),
  {
    name: 'no-registry',
    what: 'a registry that does not answer',
    spec: () => ({ containers: [{ name: 'main', image: '127.0.0.1:1/app:1' }] }),
    state: 'Pending; main: ImagePullBackOff',
  },
  {
    name: 'invalid-name',
    what: 'an image whose name is none',
    spec: () => ({ containers: [{ name: 'main', image: '127.0.0.1/UPPER:1' }] }),
    state: 'Pending; main: InvalidImageName',
  },
];

const scenarioOf = (
  name: string,
  text: string,
  cases: readonly PodCase[],
  // Another for each scenario: kubelet takes the same pod for one that has been there before, with
  // restarts.
  namespace = 'shop',
): Scenario => ({
  name,
  text,
  expected: Object.fromEntries(
    cases.flatMap(({ name, what, state, logs = {} }) => [
      [`${name}: ${what}`, state] as const,
      ...Object.entries(logs).map(([of, text]) => [`${name}: log of ${of}`, text] as const),
    ]),
  ),
  async play(lab) {
    for (const { name, spec } of cases) {
      const grace = { terminationGracePeriodSeconds: 2 };
      const pod: Pod = { metadata: { name, namespace }, spec: { ...grace, ...spec(lab.images) } };
      lab.addPod(pod);
    }
    const seen: Record<string, string> = {};
    await Promise.all(
      cases.map(async (one) => {
        seen[`${one.name}: ${one.what}`] = await lab.stateOf(one.name, one.state, 90_000);
        const pod = await lab.pod(one.name);
        if (pod === undefined) return;
        for (const [what, text] of Object.entries(messagesOf(pod))) {
          seen[`${one.name}: ${what}`] = lab.normalise(text);
        }
        for (const { name, imageID } of pod.status?.containerStatuses ?? []) {
          seen[`${one.name}: image of ${name}`] = lab.normalise(imageID);
        }
        for (const [of, text] of Object.entries(one.logs ?? {})) {
          seen[`${one.name}: log of ${of}`] = await lab.logOf(pod, of, text);
        }
      }),
    );
    return seen;
  },
});

export const pods = scenarioOf(
  'pods',
  'states, exit codes, reasons, messages, restarts and logs of pods of every kind',
  cases,
);

/** Some of them, whose calls `--record` writes down. */
export const recordedPods = scenarioOf(
  'recorded-pods',
  'pods whose calls are recorded',
  cases.filter(({ name }) =>
    [
      'init-and-sidecar',
      'completed',
      'failed',
      'no-program',
      'out-of-memory',
      'user',
      'by-digest',
      'no-tag',
    ].includes(name),
  ),
);

const withEvents = scenarioOf(
  'evented-pleg',
  'pods that start, end, crash and are restarted, with kubelet reading the events of the runtime (gate EventedPLEG)',
  cases.filter(({ name }) =>
    ['init-and-sidecar', 'completed', 'failed', 'crash-loop', 'out-of-memory', 'liveness'].includes(
      name,
    ),
  ),
  'events',
);

/**
 * kubelet and runtime-gateway both read the events of the runtime then. Without a stream of events
 * kubelet lists, as without the gate.
 */
export const eventedPleg: Scenario = {
  ...withEvents,
  async play(lab) {
    try {
      await lab.restartKubelet({ config: { featureGates: { EventedPLEG: true } } });
      const seen = await withEvents.play(lab);
      await lab.removePods();
      return seen;
    } finally {
      await lab.restartKubelet();
    }
  },
};
