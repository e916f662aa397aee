import os from 'node:os';
import path from 'node:path';
import { commonKeys, defineConfig, durationKey, listenKey, listKey } from '@stowage/service-kit';
import type { ConfigOf } from '@stowage/service-kit';
import * as z from 'zod';

const dirsKey = (options: Omit<Parameters<typeof listKey>[0], 'allowed' | 'item'>) =>
  listKey({
    ...options,
    item: z.string().startsWith('/'),
    allowed: 'absolute paths of folders, separated by commas; empty for none',
  });

/** Configuration of image-service. */
export const config = defineConfig({
  app: 'image-service',
  summary: 'CRI ImageService endpoint: pulls with credentials, ensures, removals and their events.',
  keys: {
    ...commonKeys({
      httpAddr: '127.0.0.1:9471',
      commands: ['ensure', 'list', 'stats', 'status'],
      allCommands: ['ensure', 'list', 'remove', 'stats', 'status'],
    }),
    listen: listenKey('/run/stowage/image.sock'),
    runtimeRequestTimeoutMs: durationKey({
      default: 120_000,
      minMs: 1000,
      maxMs: 3_600_000,
      meaning: 'Time limit of calls to the runtime; pulls have none.',
      kubelet: { key: 'runtimeRequestTimeout', kind: 'string', zeroIsUnset: true },
    }),
    dockerConfigDirs: dirsKey({
      default: () => ['/var/lib/kubelet', path.join(os.homedir(), '.docker'), '/.docker'],
      defaultText: '/var/lib/kubelet,$HOME/.docker,/.docker',
      meaning:
        'Folders searched for config.json with docker credentials; the first file that decodes is used.',
    }),
    dockercfgDirs: dirsKey({
      default: () => ['/var/lib/kubelet', os.homedir(), '/'],
      defaultText: '/var/lib/kubelet,$HOME,/',
      meaning: 'Folders searched for .dockercfg where no config.json was found.',
    }),
  },
  checks: [
    ({ listen, imageEndpoint, runtimeEndpoint }) =>
      [imageEndpoint, runtimeEndpoint].includes(`unix://${listen}`)
        ? { key: 'listen', allowed: "another path than the runtime's own sockets" }
        : undefined,
  ],
});

/** The values of {@link config}. */
export type ImageServiceConfig = ConfigOf<typeof config.keys>;
