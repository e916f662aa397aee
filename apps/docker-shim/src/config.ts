import {
  booleanKey,
  commonKeys,
  contextToken,
  defineConfig,
  durationKey,
  endpointKey,
  enumKey,
  key,
  listenKey,
  listKey,
  pathKey,
  stringKey,
  type ConfigOf,
} from '@stowage/service-kit';
import * as z from 'zod';
import { addressOf } from './network/cidr';

/** Configuration of docker-shim. */
export const config = defineConfig({
  app: 'docker-shim',
  summary: 'Docker Engine served as a CRI runtime.',
  keys: {
    ...commonKeys({ httpAddr: '127.0.0.1:9473', commands: [], allCommands: [] }),
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
  },
  checks: [
    ({ listen, dockerEndpoint }) =>
      dockerEndpoint === `unix://${listen}`
        ? { key: 'listen', allowed: "another path than the engine's own socket" }
        : undefined,
  ],
});

/** The values of {@link config}. */
export type ShimConfig = ConfigOf<typeof config.keys>;

export const CONTEXT = contextToken<ShimConfig>();
