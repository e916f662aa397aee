import {
  commonKeys,
  defineConfig,
  durationKey,
  enumKey,
  integerKey,
  listenKey,
} from '@stowage/service-kit';
import type { ConfigOf } from '@stowage/service-kit';

/** Configuration of runtime-gateway. */
export const config = defineConfig({
  app: 'runtime-gateway',
  summary: 'CRI endpoint for runtime calls: forwards all of them, tells what changed as events.',
  keys: {
    ...commonKeys({
      httpAddr: '127.0.0.1:9470',
      commands: ['pods', 'status', 'version'],
      allCommands: ['pods', 'status', 'version'],
    }),
    listen: listenKey('/run/stowage/runtime.sock'),
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
});

/** The values of {@link config}. */
export type GatewayConfig = ConfigOf<typeof config.keys>;
