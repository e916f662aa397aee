import {
  commonKeys,
  contextToken,
  defineConfig,
  durationKey,
  type ConfigOf,
} from '../../src/index';

export const config = defineConfig({
  app: 'image-census',
  summary: 'Publishes which images appear on the node.',
  keys: {
    ...commonKeys({ httpAddr: '127.0.0.1:0', commands: ['count'], allCommands: ['count'] }),
    intervalMs: durationKey({
      default: 1000,
      minMs: 10,
      maxMs: 3_600_000,
      meaning: 'Pause between two listings.',
    }),
    runtimeRequestTimeoutMs: durationKey({
      default: 120_000,
      minMs: 1000,
      maxMs: 3_600_000,
      meaning: 'Time limit of calls to the runtime.',
    }),
  },
});

export type CensusConfig = ConfigOf<typeof config.keys>;

export const CONTEXT = contextToken<CensusConfig>();
