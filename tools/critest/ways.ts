import path from 'node:path';
import {
  dockerShimOn,
  spawnApp,
  type AppProcess,
  type Stack,
  type StackOptions,
} from '@stowage/testing';
import { endsOnDocker, type KnownEnd } from './known-ends';

/** Endpoints that a CRI client is given. */
export interface Endpoints {
  readonly runtime: string;
  readonly image: string;
}

/** One way from a CRI client to the runtime. */
export interface Way {
  readonly name: string;
  readonly text: string;
  /** Starts the services of this way; they are pushed to `apps` as soon as they run. */
  start(stack: Stack, apps: AppProcess[]): Promise<Endpoints>;
  /** Whether calls that change something have to be refused here. */
  readonly readonly?: boolean;
  /** What is started for it; a containerd unless said. */
  readonly stack?: StackOptions;
  /**
   * Of a way that does not lead to containerd: the specs that do not pass there, with the reasons.
   * All others have to.
   */
  readonly known?: readonly KnownEnd[];
  /** More options of critest. */
  readonly options?: readonly string[];
}

const socket = (stack: Stack, name: string): string => path.join(stack.dir, `${name}.sock`);

async function startGateway(
  stack: Stack,
  apps: AppProcess[],
  env: Record<string, string> = {},
): Promise<Endpoints & { readonly: string }> {
  const listen = socket(stack, 'runtime');
  const listenReadonly = socket(stack, 'runtime-ro');
  apps.push(
    await spawnApp('runtime-gateway', {
      env: {
        STOWAGE_NODE_NAME: 'critest',
        STOWAGE_LISTEN: listen,
        STOWAGE_LISTEN_READONLY: listenReadonly,
        STOWAGE_STATE_DIR: path.join(stack.dir, 'gateway'),
        STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
        STOWAGE_NATS_SERVERS: stack.nats.url,
        ...env,
      },
    }),
  );
  return {
    runtime: `unix://${listen}`,
    image: `unix://${listen}`,
    readonly: `unix://${listenReadonly}`,
  };
}

async function startImageService(stack: Stack, apps: AppProcess[]): Promise<string> {
  const listen = socket(stack, 'image');
  apps.push(
    await spawnApp('image-service', {
      env: {
        STOWAGE_NODE_NAME: 'critest',
        STOWAGE_LISTEN: listen,
        STOWAGE_STATE_DIR: path.join(stack.dir, 'image-service'),
        STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
        STOWAGE_NATS_SERVERS: stack.nats.url,
      },
    }),
  );
  return `unix://${listen}`;
}

async function startDockerShim(stack: Stack, apps: AppProcess[]): Promise<Endpoints> {
  const { endpoint, env } = dockerShimOn(stack);
  apps.push(await spawnApp('docker-shim', { env: { ...env, STOWAGE_NODE_NAME: 'critest' } }));
  return { runtime: endpoint, image: endpoint };
}

/** The runtime itself, which all other ways are compared with. */
export const direct: Way = {
  name: 'direct',
  text: 'containerd itself',
  start: ({ containerd }) =>
    Promise.resolve({ runtime: containerd.endpoint, image: containerd.endpoint }),
};

export const ways: readonly Way[] = [
  {
    name: 'gateway',
    text: 'runtime-gateway for runtime and image calls',
    start: (stack, apps) => startGateway(stack, apps),
  },
  {
    name: 'suite',
    text: 'runtime-gateway, and image-service for image calls',
    start: async (stack, apps) => ({
      runtime: (await startGateway(stack, apps)).runtime,
      image: await startImageService(stack, apps),
    }),
  },
  {
    name: 'routing',
    text: 'runtime-gateway with imageRouting to image-service',
    start: async (stack, apps) => {
      const imageService = await startImageService(stack, apps);
      return startGateway(stack, apps, {
        STOWAGE_IMAGE_ROUTING: 'true',
        STOWAGE_IMAGE_SERVICE_ENDPOINT: imageService,
      });
    },
  },
  {
    name: 'readonly',
    text: 'read-only socket of runtime-gateway',
    readonly: true,
    start: async (stack, apps) => {
      const endpoints = await startGateway(stack, apps);
      return { runtime: endpoints.readonly, image: endpoints.readonly };
    },
  },
  {
    name: 'docker',
    text: 'docker-shim on a Docker Engine',
    stack: { docker: {} },
    known: endsOnDocker,
    start: startDockerShim,
  },
  {
    name: 'docker-ws',
    text: 'the same, with WebSocket for exec, attach and port-forward',
    stack: { docker: {} },
    known: endsOnDocker,
    options: ['--websocket-exec', '--websocket-attach', '--websocket-portforward'],
    start: startDockerShim,
  },
];
