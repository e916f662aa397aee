import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { CommandReply, imageService } from '@stowage/commands';
import { connectImageService, type ImageServiceClient } from '@stowage/cri-client';
import { spawnApp, type AppProcess, type Stack } from '@stowage/testing';

/** The reply to the command `ensure`, as it is on the wire. */
export interface EnsureReply {
  readonly ok: boolean;
  readonly result?: CommandReply<typeof imageService.ensure>;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Node name that the services of the tests have. */
export const serviceNode = 'node-1.example';

/** One image-service on the stack, with a folder of its own. */
export class ServiceProcess {
  readonly dir: string;
  app!: AppProcess;
  client!: ImageServiceClient;

  constructor(
    private readonly stack: Stack,
    name: string,
  ) {
    this.dir = mkdtempSync(path.join(stack.dir, `${name}-`));
    mkdirSync(this.dockerDir);
  }

  get dockerDir(): string {
    return path.join(this.dir, 'docker');
  }

  get socket(): string {
    return path.join(this.dir, 'i.sock');
  }

  async start(
    options: {
      env?: Record<string, string>;
      /** Variables of the default environment that are left out. */
      unset?: readonly string[];
      args?: readonly string[];
      ready?: 'readyz' | 'healthz';
    } = {},
  ): Promise<void> {
    const env: Record<string, string> = {
      STOWAGE_NODE_NAME: serviceNode,
      STOWAGE_LISTEN: this.socket,
      STOWAGE_STATE_DIR: path.join(this.dir, 'state'),
      STOWAGE_RUNTIME_ENDPOINT: this.stack.runtime.endpoint,
      STOWAGE_NATS_SERVERS: this.stack.nats.url,
      STOWAGE_DOCKER_CONFIG_DIRS: this.dockerDir,
      STOWAGE_DOCKERCFG_DIRS: '',
      STOWAGE_LOG_LEVEL: 'debug',
      STOWAGE_COMMAND_SOCKET: path.join(this.dir, 'image-service.cmd.sock'),
      ...options.env,
    };
    for (const name of options.unset ?? []) Reflect.deleteProperty(env, name);
    const { ready, args } = options;
    this.app = await spawnApp('image-service', { ready, args, env });
    this.client = connectImageService({ endpoint: `unix://${this.socket}`, versions: 'v1' });
    if (options.ready === undefined) await this.client.whenAvailable();
  }

  /** Everything that could be read by others: logs, metrics, files of the state folder. */
  async outputs(): Promise<string> {
    const state = path.join(this.dir, 'state');
    const files = readdirSync(state, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(path.join(entry.parentPath, entry.name), 'latin1'));
    const { body } = await this.app.get('/metrics');
    return [this.app.stdout, this.app.stderr, body, ...files].join('\n');
  }

  async stop(): Promise<number | null> {
    this.client.close();
    return this.app.stop();
  }
}
