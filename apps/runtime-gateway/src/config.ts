import { verbsOf } from '@stowage/commands';
import {
  booleanKey,
  commonKeys,
  contextToken,
  defineConfig,
  durationKey,
  endpointKey,
  enumKey,
  integerKey,
  key,
  listenKey,
  socketPathKey,
  stringKey,
  takeOverKeys,
  type ConfigOf,
} from '@stowage/service-kit/config';
import * as z from 'zod';

/** Permission bits of a socket file, in octal text; the value is the number. */
const socketModeKey = (whose: string) =>
  key<number>({
    schema: z
      .string()
      .regex(/^0?[0-7]{3}$/)
      .transform((text) => Number.parseInt(text, 8)),
    default: 0o600,
    defaultText: "'0600'",
    allowed: "three octal digits, with or without a 0 before them, as text: '0660'",
    meaning: `Permissions of the ${whose}.`,
    print: (mode) => mode.toString(8).padStart(4, '0'),
  });

const socketGroupKey = (whose: string) =>
  stringKey({
    default: '',
    pattern: /^(?:[A-Za-z_][\w.-]*\$?|\d{1,10})?$/,
    allowed: 'the name or number of a group, or empty for that of the process',
    meaning: `Group that owns the ${whose}.`,
  });

/** Configuration of runtime-gateway. */
export const config = defineConfig({
  app: 'runtime-gateway',
  summary:
    'CRI endpoint for runtime calls: forwards all of them, publishes what changed as events.',
  keys: {
    ...commonKeys({
      httpAddr: '127.0.0.1:9470',
      ...verbsOf('runtime-gateway'),
    }),
    listen: listenKey('/run/stowage/runtime.sock'),
    listenMode: socketModeKey('CRI socket'),
    listenGroup: socketGroupKey('CRI socket'),
    listenReadonly: socketPathKey({
      default: '/run/stowage/runtime-ro.sock',
      emptyAllowed: true,
      meaning: 'CRI socket for calls that change nothing.',
    }),
    listenReadonlyMode: socketModeKey('read-only socket'),
    listenReadonlyGroup: socketGroupKey('read-only socket'),
    readonlyVerbose: booleanKey({
      default: false,
      meaning:
        'Allow status calls with verbose on the read-only socket; their answers can hold environment variables and the configuration of the runtime.',
    }),
    readonlyEvents: enumKey({
      values: ['auto', 'always'],
      default: 'auto',
      meaning:
        "Whether GetContainerEvents is answered on the read-only socket: auto only where a reader takes no events away from others, kubelet's among them (not containerd before 2.0, not CRI-O before 1.28).",
    }),
    ...takeOverKeys(),
    imageRouting: booleanKey({
      default: false,
      meaning:
        'Send image calls to image-service, for clients that use one socket for everything. Calls are then forwarded one by one (HTTP/2 is terminated) instead of bytes.',
    }),
    imageServiceEndpoint: endpointKey({
      default: 'unix:///run/stowage/image.sock',
      meaning: 'CRI socket of image-service, for imageRouting.',
    }),
    runtimeRequestTimeoutMs: durationKey({
      default: 120_000,
      minMs: 1000,
      maxMs: 3_600_000,
      meaning: "Time limit of the gateway's own calls to the runtime; forwarded calls have none.",
      kubelet: { key: 'runtimeRequestTimeout', kind: 'string', zeroIsUnset: true },
    }),
    relistIntervalMs: durationKey({
      default: 10_000,
      minMs: 100,
      maxMs: 3_600_000,
      meaning:
        'Pause between listings of pods and containers, where the runtime has no event stream.',
    }),
    runtimeEvents: enumKey({
      values: ['auto', 'always', 'never'],
      default: 'auto',
      meaning:
        "Whether the runtime's event stream is read: auto only where that takes no events away from other readers (not containerd before 2.0, not CRI-O before 1.28).",
    }),
    maxKnownContainers: integerKey({
      default: 20_000,
      min: 100,
      max: 1_000_000,
      meaning: 'Containers (and as many pod sandboxes) that are remembered at most.',
    }),
  },
  checks: [
    ({ listen, listenReadonly }) =>
      listen === listenReadonly
        ? { key: 'listenReadonly', allowed: 'another path than that of listen' }
        : undefined,
  ],
});

/** The values of {@link config}. */
export type GatewayConfig = ConfigOf<typeof config.keys>;

export const CONTEXT = contextToken<GatewayConfig>();
