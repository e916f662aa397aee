import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { verbsOf, type CommandDefinition, type CommandInput } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import {
  copyWithVersion,
  freePort,
  ServiceFixture,
  spawnApp,
  type AppProcess,
} from '@stowage/testing';
import { DockerNode } from './docker-node';

/** Where Prometheus finds a service. */
export interface Target {
  readonly job: string;
  readonly node: string;
  /** Host and port. */
  readonly address: string;
}

/** A service of the first node: how it was started, and its process. */
interface Service {
  readonly start: () => Promise<AppProcess>;
  process: AppProcess;
}

/** An hour of the day takes seconds: what services look at, they look at often. */
const often = {
  'runtime-gateway': { STOWAGE_LISTEN_READONLY: '' },
  'image-service': { STOWAGE_OUTBOX_MAX_EVENTS: '100', STOWAGE_SERIALIZE_IMAGE_PULLS: 'true' },
  'gc-worker': {
    STOWAGE_DISK_CHECK_INTERVAL: '500ms',
    STOWAGE_DETECTION_INTERVAL: '1s',
    STOWAGE_IMAGE_LIST_INTERVAL: '500ms',
    STOWAGE_COLLECTION_INTERVAL: '5s',
    STOWAGE_COLLECTION_RETRY: '1s',
  },
} as const;

type App = keyof typeof often;
const apps = Object.keys(often) as App[];

/** A good policy, and one that is refused. */
export const policies = {
  good: 'gc-worker: { imageGCHighThresholdPercent: 80, imageGCLowThresholdPercent: 60, imageMinimumGCAge: 0s }\n',
  bad: 'gc-worker: { imageGCHighThresholdPercent: 80, imageGCLowThresholdPercent: 90 }\n',
} as const;

/**
 * A node with the services on a real containerd with a small file system, gc-worker's state on one
 * of its own; a second node with an image-service of an earlier version; and a third one with
 * docker-shim.
 */
export class DayNode {
  readonly images;
  readonly runtime;

  private constructor(
    readonly fixture: ServiceFixture,
    /** Every service of all nodes. */
    readonly targets: readonly Target[],
    readonly gatewaySocket: string,
    /** Configuration file of gc-worker. */
    readonly policyFile: string,
    /** The mount with gc-worker's state. */
    readonly stateMount: string,
    imageSocket: string,
    private readonly services: ReadonlyMap<App, Service>,
    /** The service of the second node. */
    readonly earlier: AppProcess,
    /** The third node. */
    readonly docker: DockerNode,
  ) {
    this.images = connectImageService({ endpoint: `unix://${imageSocket}` });
    this.runtime = connectRuntimeService({ endpoint: `unix://${gatewaySocket}` });
  }

  static async start(): Promise<DayNode> {
    const fixture = await ServiceFixture.start({ node: 'day-1.example', filesystemMb: 400 });
    const { dir } = fixture.stack;
    const stateMount = path.join(dir, 'gc-state');
    try {
      mkdirSync(stateMount);
      execFileSync('mount', ['-t', 'tmpfs', 'stowage-day', stateMount]);
      const policyFile = path.join(dir, 'policy.yaml');
      writeFileSync(policyFile, policies.good);
      const socketOf = (app: string): string => path.join(dir, `${app}.sock`);
      const targets: Target[] = [];
      const services = new Map<App, Service>();
      for (const app of apps) {
        const address = `127.0.0.1:${await freePort()}`;
        const env = {
          ...often[app],
          STOWAGE_HTTP_ADDR: address,
          STOWAGE_COMMANDS: verbsOf(app).allCommands.join(','),
          STOWAGE_COMMAND_SOCKET: path.join(dir, `${app}.cmd.sock`),
        };
        const start = () =>
          app === 'gc-worker'
            ? fixture.start(
                app,
                { ...env, STOWAGE_STATE_DIR: path.join(stateMount, 'state') },
                { args: ['--config', policyFile] },
              )
            : fixture.start(app, { ...env, STOWAGE_LISTEN: socketOf(app) });
        services.set(app, { start, process: await start() });
        targets.push({ job: `stowage-${app}`, node: fixture.node, address });
      }
      const earlier = await startEarlierVersion(fixture);
      targets.push(earlier.target);
      const docker = await DockerNode.start(fixture.stack.nats.url);
      targets.push({ job: 'stowage-docker-shim', node: docker.name, address: docker.address });
      return new DayNode(
        fixture,
        targets,
        socketOf('runtime-gateway'),
        policyFile,
        stateMount,
        socketOf('image-service'),
        services,
        earlier.process,
        docker,
      );
    } catch (error) {
      await end(fixture, stateMount);
      throw error;
    }
  }

  /** A service of the first node. */
  service(app: App): AppProcess {
    return this.#service(app).process;
  }

  /** Kills a service and starts it again; `between` is done while it does not run. */
  async restart(app: App, between: () => void): Promise<void> {
    const service = this.#service(app);
    await service.process.kill();
    between();
    service.process = await service.start();
  }

  #service(app: App): Service {
    const service = this.services.get(app);
    if (service === undefined) throw new Error(`there is no ${app}`);
    return service;
  }

  send<C extends CommandDefinition>(command: C, input: CommandInput<C>) {
    return sendCommand(this.fixture.nats, this.fixture.node, command, input, { timeoutMs: 60_000 });
  }

  /** Pulls through image-service. */
  async pull(reference: string): Promise<void> {
    await this.images.pullImage({ image: { image: reference } });
  }

  /** Asks for images that are not there; resolves when all are refused. */
  async pullInVain(count: number): Promise<void> {
    const { host } = this.fixture.stack.registry.open;
    for (let at = 0; at < count; at += 1) {
      await this.pull(`${host}/day/none-${at}:1`).catch(() => undefined);
    }
  }

  async down(): Promise<void> {
    this.images.close();
    this.runtime.close();
    await this.earlier.kill();
    await this.docker.down();
    await end(this.fixture, this.stateMount);
  }
}

async function end(fixture: ServiceFixture, stateMount: string): Promise<void> {
  try {
    await fixture.stopServices();
  } finally {
    execFileSync('umount', ['-l', stateMount]);
    await fixture.down();
  }
}

/** The image-service of the build, with another version in it. */
async function startEarlierVersion(
  fixture: ServiceFixture,
): Promise<{ target: Target; process: AppProcess }> {
  const { dir, runtime, nats } = fixture.stack;
  const main = copyWithVersion('image-service', path.join(dir, 'earlier'), '0.0.1');
  const address = `127.0.0.1:${await freePort()}`;
  const node = 'day-2.example';
  const process = await spawnApp(main, {
    env: {
      STOWAGE_NODE_NAME: node,
      STOWAGE_RUNTIME_ENDPOINT: runtime.endpoint,
      STOWAGE_NATS_SERVERS: nats.url,
      STOWAGE_STATE_DIR: path.join(dir, 'earlier-state'),
      STOWAGE_LISTEN: path.join(dir, 'earlier.sock'),
      STOWAGE_HTTP_ADDR: address,
    },
  });
  return { target: { job: 'stowage-image-service', node, address }, process };
}
