import type { Values } from './render';
import type { Rendered } from './rendered';

/** Values that the chart takes, with what comes of them. */
export interface ValueSet {
  readonly name: string;
  readonly values: Values;
  /** What is looked at. */
  readonly seen: (rendered: Rendered) => unknown;
  /** What it must be. */
  readonly wanted: unknown;
}

const hostPath = (rendered: Rendered, app: string, volume: string) =>
  rendered.volume(app, volume)?.hostPath?.path;

/** What the services have of a runtime: its endpoint, and folders of the node. */
const runtimeOf = (rendered: Rendered) => ({
  endpoint: rendered.env('gc-worker', 'STOWAGE_RUNTIME_ENDPOINT'),
  socketDir: hostPath(rendered, 'gc-worker', 'runtime'),
  root: hostPath(rendered, 'gc-worker', 'images'),
  pullsAreSeen: rendered.volume('image-service', 'images') !== undefined,
});

const onRuntime = (
  runtime: string,
  socketDir: string | undefined,
  root: string,
  { endpoint = `unix://${socketDir ?? ''}/containerd.sock`, pullsAreSeen = true } = {},
): ValueSet => ({
  name: `on ${runtime}`,
  values: { runtime },
  seen: runtimeOf,
  wanted: { endpoint, socketDir, root, pullsAreSeen },
});

const modes = (rendered: Rendered) => ({
  apps: rendered.apps,
  collect: (rendered.configuration('gc-worker')['gc-worker'] as { collect: string }).collect,
});

const nats = { servers: ['tls://nats-1.example:4222', 'tls://nats-2.example:14222'] };

/** A dozen and more ways to use the chart. */
export const valueSets: readonly ValueSet[] = [
  {
    name: 'without values',
    values: {},
    seen: (rendered) => ({
      ...modes(rendered),
      names: rendered.names,
      image: rendered.container('gc-worker').image?.replace(/:.*/, ''),
      nats: rendered.configuration('gc-worker').natsServers,
      roll: rendered.daemonSet('gc-worker').spec?.updateStrategy?.rollingUpdate?.maxUnavailable,
      egress: (rendered.only('NetworkPolicy') as unknown as { spec: { egress: unknown } }).spec
        .egress,
    }),
    wanted: {
      apps: ['gc-worker', 'image-service', 'runtime-gateway'],
      collect: 'on',
      names: [
        'ConfigMap stowage',
        'DaemonSet stowage-gc-worker',
        'DaemonSet stowage-image-service',
        'DaemonSet stowage-runtime-gateway',
        'NetworkPolicy stowage',
        'ServiceAccount stowage',
      ],
      image: 'ghcr.io/stowage/gc-worker',
      nats: [],
      roll: '10%',
      egress: [],
    },
  },
  {
    name: 'to observe',
    values: { mode: 'observe' },
    seen: modes,
    wanted: { apps: ['gc-worker', 'runtime-gateway'], collect: 'off' },
  },
  {
    name: 'in shadow',
    values: { mode: 'shadow' },
    seen: modes,
    wanted: { apps: ['gc-worker', 'runtime-gateway'], collect: 'shadow' },
  },
  onRuntime('containerd', '/run/containerd', '/var/lib/containerd'),
  onRuntime('k3s', '/run/k3s/containerd', '/var/lib/rancher/k3s/agent/containerd'),
  onRuntime('rke2', '/run/k3s/containerd', '/var/lib/rancher/rke2/agent/containerd'),
  onRuntime('k0s', '/run/k0s', '/var/lib/k0s/containerd'),
  onRuntime(
    'microk8s',
    '/var/snap/microk8s/common/run',
    '/var/snap/microk8s/common/var/lib/containerd',
  ),
  onRuntime('crio', '/run/crio', '/var/lib/containers/storage', {
    endpoint: 'unix:///run/crio/crio.sock',
    pullsAreSeen: false,
  }),
  // Its socket lies in /run itself, which is mounted elsewhere: the pods have a /run of their own.
  onRuntime('cri-dockerd', '/run', '/var/lib/docker', {
    endpoint: 'unix:///host/run/cri-dockerd.sock',
    pullsAreSeen: false,
  }),
  // Its socket lies beside those of the suite, whose folder is mounted once.
  onRuntime('docker-shim', undefined, '/var/lib/docker', {
    endpoint: 'unix:///run/stowage/docker-shim.sock',
    pullsAreSeen: false,
  }),
  {
    name: 'with paths of its own',
    values: {
      runtime: 'containerd',
      runtimePaths: { socket: '/opt/run/containerd.sock', root: '/data/containerd' },
      hostPaths: { sockets: '/opt/run/stowage', state: '/data/stowage', mountPropagation: 'None' },
    },
    seen: (rendered) => ({
      ...runtimeOf(rendered),
      sockets: hostPath(rendered, 'runtime-gateway', 'sockets'),
      at: rendered.mountPath('runtime-gateway', 'sockets'),
      state: hostPath(rendered, 'runtime-gateway', 'state'),
    }),
    wanted: {
      endpoint: 'unix:///opt/run/containerd.sock',
      socketDir: '/opt/run',
      root: '/data/containerd',
      pullsAreSeen: true,
      sockets: '/opt/run/stowage',
      at: '/run/stowage',
      state: '/data/stowage/runtime-gateway',
    },
  },
  {
    name: 'with a login of NATS for each node',
    values: {
      nats: {
        ...nats,
        nkeySecret: 'stowage-nats-users',
        tls: { secret: 'nats-tls', clientCertificate: true },
      },
    },
    seen: (rendered) => ({
      seed: rendered.env('gc-worker', 'STOWAGE_NATS_NKEY_SEED'),
      secret: rendered.volume('gc-worker', 'nats-login')?.secret,
      at: rendered.mountPath('gc-worker', 'nats-login'),
      ca: rendered.configuration('gc-worker').natsTlsCa,
      ports: openPorts(rendered),
    }),
    wanted: {
      seed: '/run/secrets/stowage/nats/$(STOWAGE_NODE_NAME).nk',
      secret: { secretName: 'stowage-nats-users', defaultMode: 0o400 },
      at: '/run/secrets/stowage/nats',
      ca: '/run/secrets/stowage/nats-tls/ca.crt',
      ports: [53, 53, 4222, 14222],
    },
  },
  {
    name: 'with servers of NATS in a Secret',
    values: { nats: { serversSecret: 'nats-servers', port: 4333 } },
    seen: (rendered) => ({
      inFile: 'natsServers' in rendered.configuration('gc-worker'),
      ports: openPorts(rendered),
    }),
    wanted: { inFile: false, ports: [53, 53, 4333] },
  },
  {
    name: 'with the Prometheus Operator and dashboards',
    values: {
      monitoring: {
        podMonitor: { enabled: true, labels: { release: 'prometheus' }, interval: '15s' },
        prometheusRule: {
          enabled: true,
          labels: { release: 'prometheus' },
          runbookUrl: 'https://wiki.example.com/stowage/',
        },
        dashboards: { enabled: true },
      },
    },
    seen: (rendered) => {
      const { metadata, spec } = rendered.only('PodMonitor') as unknown as {
        metadata: { labels: Record<string, string> };
        spec: { podMetricsEndpoints: unknown };
      };
      const rules = JSON.stringify(rendered.only('PrometheusRule'));
      return {
        release: metadata.labels.release,
        endpoints: spec.podMetricsEndpoints,
        runbook: /https:[^"]*StowageDown/.exec(rules)?.[0],
      };
    },
    wanted: {
      release: 'prometheus',
      runbook: 'https://wiki.example.com/stowage/StowageDown',
      endpoints: [
        {
          port: 'http',
          path: '/metrics',
          interval: '15s',
          relabelings: [
            { sourceLabels: ['__meta_kubernetes_pod_node_name'], targetLabel: 'node' },
            {
              sourceLabels: ['__meta_kubernetes_pod_label_app_kubernetes_io_component'],
              targetLabel: 'job',
              replacement: 'stowage-$1',
            },
          ],
        },
      ],
    },
  },
  {
    name: 'with alerts whose runbooks nobody has put anywhere',
    values: { monitoring: { prometheusRule: { enabled: true } } },
    seen: (rendered) => {
      const rules = JSON.stringify(rendered.only('PrometheusRule'));
      return {
        alerts: rules.includes('"alert":"StowageDown"'),
        severity: rules.includes('"severity":"critical"'),
        runbook: rules.includes('runbook_url'),
        address: rules.includes('set-your-own-address'),
      };
    },
    wanted: { alerts: true, severity: true, runbook: false, address: false },
  },
  {
    name: 'with the Grafana Operator',
    values: { monitoring: { dashboards: { enabled: true, kind: 'GrafanaDashboard' } } },
    seen: (rendered) =>
      rendered.objects
        .filter(({ kind }) => kind === 'ConfigMap')
        .map(({ metadata }) => metadata.name),
    wanted: ['stowage'],
  },
  {
    name: 'with SELinux',
    values: { selinux: { enabled: true } },
    seen: (rendered) => rendered.container('gc-worker').securityContext?.seLinuxOptions,
    wanted: { type: 'spc_t' },
  },
  {
    name: 'with credentials for pulls',
    values: {
      imageService: {
        imageDigest: `sha256:${'a'.repeat(64)}`,
        pullSecrets: ['team-a', 'team-b'],
        credentialProviders: { config: '/etc/kubernetes/providers.yaml', binDir: '/opt/providers' },
        config: { maxParallelImagePulls: 4, pullSecretsScope: 'node' },
      },
    },
    seen: (rendered) => ({
      image: rendered.container('image-service').image,
      section: rendered.configuration('image-service')['image-service'],
      paths: rendered
        .volume('image-service', 'pull-secrets')
        ?.projected?.sources?.map(({ secret }) => secret?.items?.[0]?.path),
      elsewhere: rendered.volume('gc-worker', 'pull-secrets') !== undefined,
    }),
    wanted: {
      image: `ghcr.io/stowage/image-service@sha256:${'a'.repeat(64)}`,
      section: {
        maxParallelImagePulls: 4,
        pullSecretsScope: 'node',
        pullSecretsDir: '/run/secrets/stowage/pull',
        imageCredentialProviderConfig: '/etc/kubernetes/providers.yaml',
        imageCredentialProviderBinDir: '/opt/providers',
      },
      paths: ['team-a/.dockerconfigjson', 'team-b/.dockerconfigjson'],
      elsewhere: false,
    },
  },
  {
    name: 'with a policy of its own',
    values: {
      config: { logLevel: 'debug', outboxMaxBytes: '128Mi' },
      runtimeGateway: { config: { listenReadonlyGroup: '991', listenReadonlyMode: '0660' } },
      gcWorker: {
        config: {
          imageGCHighThresholdPercent: 70,
          imageGCLowThresholdPercent: 60,
          imageMaximumGCAge: '720h',
          exemptImages: ['registry.example/base/**'],
          exemptRules: [{ label: 'keep=true', youngerThan: '12h' }],
        },
      },
      supplementalGroups: [991],
      extraEnv: [{ name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: 'http://collector:4318' }],
    },
    seen: (rendered) => ({
      level: rendered.configuration('gc-worker').logLevel,
      section: rendered.configuration('gc-worker')['gc-worker'],
      mode: rendered.configuration('runtime-gateway')['runtime-gateway'],
      groups: rendered.pod('runtime-gateway').securityContext?.supplementalGroups,
      spans: rendered.env('runtime-gateway', 'OTEL_EXPORTER_OTLP_ENDPOINT'),
    }),
    wanted: {
      level: 'debug',
      section: {
        collect: 'on',
        imageGCHighThresholdPercent: 70,
        imageGCLowThresholdPercent: 60,
        imageMaximumGCAge: '720h',
        exemptImages: ['registry.example/base/**'],
        exemptRules: [{ label: 'keep=true', youngerThan: '12h' }],
      },
      mode: { listenReadonlyGroup: '991', listenReadonlyMode: '0660' },
      groups: [991],
      spans: 'http://collector:4318',
    },
  },
  {
    name: 'on some nodes of a guarded cluster',
    values: {
      createNamespace: true,
      image: { registry: 'registry.example/mirror', tag: '1.2.3', pullSecrets: ['mirror'] },
      runtimeGateway: { enabled: false },
      priorityQuota: true,
      maxUnavailable: 2,
      http: { host: '0.0.0.0' },
      nodeSelector: { 'kubernetes.io/os': 'linux', pool: 'build' },
      tolerations: [{ key: 'pool', operator: 'Equal', value: 'build', effect: 'NoSchedule' }],
      affinity: { nodeAffinity: {} },
      podLabels: { team: 'platform' },
      podAnnotations: { owner: 'platform' },
      serviceAccount: { create: false, name: 'node-agents' },
      networkPolicy: { enabled: false },
    },
    seen: (rendered) => {
      const { nodeSelector, tolerations, serviceAccountName, imagePullSecrets } =
        rendered.pod('gc-worker');
      return {
        names: rendered.names,
        image: rendered.container('gc-worker').image,
        address: rendered.env('gc-worker', 'STOWAGE_HTTP_ADDR'),
        roll: rendered.daemonSet('gc-worker').spec?.updateStrategy?.rollingUpdate?.maxUnavailable,
        pod: { nodeSelector, tolerations, serviceAccountName, imagePullSecrets },
        policy: rendered.only('Namespace').metadata.labels?.['pod-security.kubernetes.io/enforce'],
      };
    },
    wanted: {
      names: [
        'ConfigMap stowage',
        'DaemonSet stowage-gc-worker',
        'DaemonSet stowage-image-service',
        'Namespace stowage',
        'ResourceQuota stowage',
      ],
      image: 'registry.example/mirror/gc-worker:1.2.3',
      address: '0.0.0.0:9472',
      roll: 2,
      pod: {
        nodeSelector: { 'kubernetes.io/os': 'linux', pool: 'build' },
        tolerations: [{ key: 'pool', operator: 'Equal', value: 'build', effect: 'NoSchedule' }],
        serviceAccountName: 'node-agents',
        imagePullSecrets: [{ name: 'mirror' }],
      },
      policy: 'privileged',
    },
  },
];

function openPorts(rendered: Rendered): unknown {
  const policy = rendered.only('NetworkPolicy') as unknown as {
    spec: { egress: { ports: { port: unknown }[] }[] };
  };
  return policy.spec.egress.flatMap(({ ports }) => ports.map(({ port }) => port));
}

/** Values that the chart refuses, with a part of what Helm then says. */
export const wrongValueSets: readonly {
  readonly name: string;
  readonly values: Values;
  readonly says: string;
}[] = [
  { name: 'a key that is not there', values: { natz: {} }, says: "'natz'" },
  { name: 'a mode that is none', values: { mode: 'front' }, says: '/mode' },
  { name: 'a runtime that is none', values: { runtime: 'rkt' }, says: '/runtime' },
  {
    name: 'a socket that is no path',
    values: { runtimePaths: { socket: 'unix:///run/x.sock' } },
    says: '/runtimePaths/socket',
  },
  {
    name: 'a login in a URL, where everybody would read it',
    values: { nats: { servers: ['nats://user:secret@nats:4222'] } },
    says: '/nats/servers/0',
  },
  {
    name: 'servers of NATS at two places',
    values: { nats: { ...nats, serversSecret: 'servers' } },
    says: 'nats.servers and nats.serversSecret exclude each other',
  },
  {
    name: 'a login without servers',
    values: { nats: { nkeySecret: 'users' } },
    says: 'nats.nkeySecret and nats.tls.secret need nats.servers',
  },
  {
    name: 'a client certificate without its Secret',
    values: { nats: { ...nats, tls: { clientCertificate: true } } },
    says: 'nats.tls.clientCertificate needs nats.tls.secret',
  },
  {
    name: 'a key of the configuration that is misspelt',
    values: { gcWorker: { config: { imageGCHighTresholdPercent: 70 } } },
    says: "'imageGCHighTresholdPercent'",
  },
  {
    name: 'a key of another service',
    values: { runtimeGateway: { config: { maxImagesPerRun: 1 } } },
    says: "'maxImagesPerRun'",
  },
  {
    name: 'a threshold beyond a hundred',
    values: { gcWorker: { config: { imageGCHighThresholdPercent: 101 } } },
    says: '/gcWorker/config/imageGCHighThresholdPercent',
  },
  {
    name: 'a key that follows from the mode',
    values: { gcWorker: { config: { collect: 'off' } } },
    says: "'collect'",
  },
  {
    name: 'a digest that is cut off',
    values: { gcWorker: { imageDigest: 'sha256:abc' } },
    says: '/gcWorker/imageDigest',
  },
  {
    name: 'a roll-out of no node',
    values: { maxUnavailable: '0%' },
    says: '/maxUnavailable',
  },
  {
    name: 'a toleration with a field that is not there',
    values: { tolerations: [{ operator: 'Exists', effects: 'NoSchedule' }] },
    says: "'effects'",
  },
  {
    name: 'a variable of the services',
    values: { extraEnv: [{ name: 'STOWAGE_COLLECT', value: 'off' }] },
    says: 'extraEnv: STOWAGE_COLLECT is a key of the services',
  },
  {
    name: 'plugins without their configuration',
    values: { imageService: { credentialProviders: { binDir: '/opt/plugins' } } },
    says: 'imageService.credentialProviders needs both config and binDir',
  },
  {
    name: 'no service at all',
    values: { mode: 'observe', runtimeGateway: { enabled: false }, gcWorker: { enabled: false } },
    says: 'no service is enabled that mode observe has',
  },
  {
    name: 'a request that is no quantity',
    values: { gcWorker: { resources: { requests: { memory: 'much' } } } },
    says: '/gcWorker/resources/requests/memory',
  },
];
