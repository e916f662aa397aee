import {
  connectImageService,
  connectRuntimeService,
  type ImageServiceClient,
  type RuntimeServiceClient,
} from '@stowage/cri-client';
import { dockerShimOn, spawnApp, type AppProcess, type Stack } from '@stowage/testing';
import path from 'node:path';

/** docker-shim as a process on the engine of a stack. */
export class ShimProcess {
  readonly socket: string;
  readonly endpoint: string;
  app!: AppProcess;
  image!: ImageServiceClient;
  runtime!: RuntimeServiceClient;
  readonly #env: Readonly<Record<string, string>>;

  constructor(private readonly stack: Stack) {
    const { endpoint, env } = dockerShimOn(stack);
    this.endpoint = endpoint;
    this.socket = endpoint.replace('unix://', '');
    this.#env = env;
  }

  async start({
    env = {},
    ready = 'readyz',
  }: { env?: Record<string, string>; ready?: 'readyz' | 'healthz' } = {}): Promise<void> {
    this.app = await spawnApp('docker-shim', {
      ready,
      env: {
        ...this.#env,
        STOWAGE_NODE_NAME: 'node-1',
        STOWAGE_LOG_LEVEL: 'debug',
        STOWAGE_SANDBOX_IMAGE: `${this.stack.registry.open.host}/pause:3.9`,
        STOWAGE_DOCKER_CONFIG_DIRS: this.stack.dir,
        STOWAGE_IMPORT_CHECKPOINTS_FROM: path.join(this.stack.dir, 'imported'),
        ...env,
      },
    });
    this.image = connectImageService({ endpoint: this.endpoint });
    this.runtime = connectRuntimeService({ endpoint: this.endpoint });
    await this.runtime.whenAvailable();
    // It asks the engine for something to find out which package is spoken.
    if (ready === 'readyz') await this.image.whenAvailable();
  }

  /** Starts it again after its end, with clients of their own. */
  async restart(options?: Parameters<ShimProcess['start']>[0]): Promise<void> {
    this.image.close();
    this.runtime.close();
    await this.start(options);
  }

  async stop(): Promise<number | null> {
    this.image.close();
    this.runtime.close();
    return this.app.stop();
  }

  async readiness(): Promise<{ status: number; docker: { state: string; reason?: string } }> {
    const { status, body } = await this.app.get('/readyz');
    const { components } = JSON.parse(body) as {
      components: { docker: { state: string; reason?: string } };
    };
    return { status, docker: components.docker };
  }
}
