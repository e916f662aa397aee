import { verbsOf } from '@stowage/commands';
import {
  booleanKey,
  byteSizeKey,
  commonKeys,
  contextToken,
  defineConfig,
  dirsKey,
  dockerConfigKeys,
  durationKey,
  endpointKey,
  enumKey,
  integerKey,
  key,
  listenKey,
  listKey,
  parseListenAddress,
  pathKey,
  stringKey,
  type ConfigOf,
} from '@stowage/service-kit/config';
import * as z from 'zod';
import { addressOf } from './network/cidr';

const orphanGrace = durationKey({ default: 0, minMs: 0, maxMs: 86_400_000, meaning: '' });

/** Configuration of docker-shim. */
export const config = defineConfig({
  app: 'docker-shim',
  summary: 'Docker Engine served as a CRI runtime.',
  keys: {
    ...commonKeys({ httpAddr: '127.0.0.1:9473', ...verbsOf('docker-shim') }),
    listen: listenKey('/run/stowage/docker-shim.sock'),
    dockerEndpoint: endpointKey({
      default: 'unix:///var/run/docker.sock',
      meaning: 'Socket of the Docker Engine.',
    }),
    requestTimeoutMs: durationKey({
      default: 120_000,
      minMs: 1000,
      maxMs: 3_600_000,
      meaning: 'Time limit of calls to the engine where the caller sets none; pulls have none.',
      kubelet: { key: 'runtimeRequestTimeout', kind: 'string', zeroIsUnset: true },
    }),
    imagePullProgressDeadlineMs: durationKey({
      default: 60_000,
      minMs: 0,
      maxMs: 86_400_000,
      meaning:
        'A pull in which no layer changes for so long, unpacking included, is cancelled; 0 is off.',
    }),
    sandboxImage: stringKey({
      default: 'registry.k8s.io/pause:3.10',
      pattern: /^[^\s]+$/,
      allowed: 'an image reference',
      meaning: 'Image of pod sandboxes; reported as pinned.',
    }),
    pinnedImages: listKey({
      default: [],
      item: z.string().min(1),
      allowed: 'image names, tags, digests and ids, in which * stands for any text',
      meaning: 'Images reported as pinned, which no collector removes.',
    }),
    pinnedImageLabels: listKey({
      default: [],
      item: z.string().regex(/^[^=]+(=.*)?$/s),
      allowed: 'names of labels, or name=value',
      meaning:
        'Images with one of these labels are reported as pinned; io.cri-containerd.pinned=pinned always is.',
    }),
    containerdRoot: pathKey({
      default: '',
      emptyAllowed: true,
      meaning:
        "Where containerd keeps its files when it is the engine's image store; empty: containerd below the engine's data root, else /var/lib/containerd.",
    }),
    logsMode: enumKey({
      values: ['copy', 'link'],
      default: 'copy',
      meaning:
        "Log files of new containers: a copy in the CRI's format, or a link to the engine's file in the engine's format. Each container stays as it was created.",
    }),
    logsMaxSizeBytes: byteSizeKey({
      yaml: 'logsMaxSize',
      default: 16 * 1024 * 1024,
      minBytes: 64 * 1024,
      maxBytes: 2 ** 40,
      meaning:
        "Size at which the engine begins another file for a container's log; of new containers.",
    }),
    logsMaxFile: integerKey({
      default: 3,
      min: 2,
      max: 100,
      meaning: "Files that the engine keeps of a container's log; of new containers.",
    }),
    ...dockerConfigKeys('credentials for the sandbox image'),
    checkpointDir: pathKey({
      default: '',
      emptyAllowed: true,
      meaning:
        'Folder of the checkpoints of pod sandboxes, which cri-dockerd can read, too; empty: sandbox below stateDir.',
    }),
    importCheckpointsFrom: dirsKey({
      default: ['/var/lib/cri-dockerd/sandbox', '/var/lib/dockershim/sandbox'],
      meaning:
        'Folders whose checkpoints count as those of this service: of the programs that ran the pods of this node before it.',
    }),
    restrictOomScoreAdj: booleanKey({
      default: false,
      meaning:
        'Ask for no oom_score_adj below that of this service, where it or the engine may not lower it.',
    }),
    statsLayerIntervalMs: durationKey({
      default: 60_000,
      minMs: 1000,
      maxMs: 86_400_000,
      meaning:
        'How often the writable layer of a container is measured at most, which takes the engine long.',
    }),
    networkMode: key<'cni' | 'bridge'>({
      schema: z.enum(['cni', 'bridge']),
      default: 'cni',
      allowed: 'cni, bridge (kubenet is not offered)',
      meaning: "Where pods get their network from: CNI plugins, or Docker's default bridge.",
    }),
    cniConfDir: pathKey({
      default: '/etc/cni/net.d',
      meaning: 'Folder of CNI configurations; of its files, the first valid one by name counts.',
    }),
    cniBinDirs: listKey({
      default: ['/opt/cni/bin'],
      item: z.string().regex(/^\/[^:\0]*$/),
      minItems: 1,
      allowed: 'one or more absolute paths without :',
      meaning: 'Folders of CNI plugins; the first one that has a plugin counts.',
    }),
    cniCacheDir: pathKey({
      default: '/var/lib/cni/cache',
      meaning: "Folder of the CNI library's cache, in which the networks of pods are kept.",
    }),
    podCidr: listKey({
      default: [],
      item: z.string().refine((text) => addressOf(text) !== undefined),
      allowed: 'ranges such as 10.1.0.0/24 or fd00:1::/64',
      meaning:
        "Ranges of the node's pods for CNI plugins that want them; empty: what kubelet says.",
    }),
    hairpinMode: enumKey({
      values: ['none', 'hairpin-veth'],
      default: 'none',
      meaning:
        'With networkMode bridge: hairpin-veth lets a pod reach itself through a service, at its port of the bridge.',
    }),
    bridgeNetfilter: booleanKey({
      default: false,
      meaning:
        "With networkMode bridge: let the host's packet filter see what passes bridges (sysctls net.bridge.bridge-nf-call-iptables and -ip6tables).",
    }),
    streamingAddress: key({
      default: '127.0.0.1:0',
      schema: z.string().refine((text) => parseListenAddress(text)?.kind === 'tcp'),
      allowed: 'host:port, [ipv6]:port or :port; port 0 lets the system choose',
      meaning:
        'Address of the server for exec, attach and port-forward. Whoever reaches it needs the URL of a session, which is good for one use within a minute.',
    }),
    streamingTlsCert: pathKey({
      default: '',
      emptyAllowed: true,
      meaning:
        'Certificate of that server, PEM, with its chain; read again when it changes. Empty: no TLS.',
    }),
    streamingTlsKey: pathKey({
      default: '',
      emptyAllowed: true,
      meaning: 'Key of that certificate, PEM.',
    }),
    streamingIdleTimeoutMs: durationKey({
      default: 14_400_000,
      minMs: 1000,
      maxMs: 604_800_000,
      meaning: 'A session in which nothing comes or goes for so long is ended.',
      kubelet: { key: 'streamingConnectionIdleTimeout', kind: 'string', zeroIsUnset: true },
    }),
    streamingMaxSessions: integerKey({
      default: 256,
      min: 1,
      max: 100_000,
      meaning: 'Sessions of exec, attach and port-forward at once.',
    }),
    execOrphanGraceMs: key<number | undefined>({
      default: 10_000,
      schema: z
        .preprocess(
          (value) => (value === 'never' ? -1 : value),
          orphanGrace.schema.or(z.literal(-1)),
        )
        .transform((value) => (value < 0 ? undefined : value)),
      allowed: `${orphanGrace.allowed}, or never`,
      print: (value) => (value === undefined ? 'never' : orphanGrace.print(value)),
      meaning:
        'How long the command of an exec session may run on when its client is gone, before it is killed with all it has started; never: it is not killed.',
    }),
  },
  checks: [
    ({ listen, dockerEndpoint }) =>
      dockerEndpoint === `unix://${listen}`
        ? { key: 'listen', allowed: "another path than the engine's own socket" }
        : undefined,
    ({ streamingTlsCert, streamingTlsKey }) =>
      (streamingTlsCert === '') === (streamingTlsKey === '')
        ? undefined
        : { key: 'streamingTlsKey', allowed: 'a key where streamingTlsCert is set, else none' },
  ],
});

/** The values of {@link config}. */
export type ShimConfig = ConfigOf<typeof config.keys>;

export const CONTEXT = contextToken<ShimConfig>();
