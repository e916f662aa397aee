import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { commandApps, verbsOf, type CommandDefinition, type CommandInput } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { freePort, ServiceFixture, spawnApp, type AppProcess } from '@stowage/testing';

type App = (typeof commandApps)[number];

/** A service, and where Prometheus finds it. */
export interface Target {
  readonly job: string;
  readonly node: string;
  readonly address: string;
  readonly service: AppProcess;
}

const workspace = path.resolve(__dirname, '../../../..');

/** An hour of the day takes seconds: what services look at, they look at often. */
const often = {
  'runtime-gateway': { STOWAGE_LISTEN_READONLY: '' },
  'image-service': { STOWAGE_OUTBOX_MAX_EVENTS: '100' },
  'gc-worker': {
    STOWAGE_DISK_CHECK_INTERVAL: '500ms',
    STOWAGE_DETECTION_INTERVAL: '1s',
    STOWAGE_IMAGE_LIST_INTERVAL: '500ms',
    STOWAGE_COLLECTION_INTERVAL: '5s',
    STOWAGE_COLLECTION_RETRY: '1s',
  },
} as const satisfies Record<App, object>;

/** A good policy, and one that is refused. */
export const policies = {
  good: 'gc-worker: { imageGCHighThresholdPercent: 80, imageGCLowThresholdPercent: 60, imageMinimumGCAge: 0s }\n',
  bad: 'gc-worker: { imageGCHighThresholdPercent: 80, imageGCLowThresholdPercent: 90 }\n',
} as const;

/**
 * A node with the services on a real containerd with a small file system, gc-worker's state on one
 * of its own, and a second node with an image-service of an earlier version.
 */
export class DayNode {
  readonly images;
  readonly runtime;

  private constructor(
    readonly fixture: ServiceFixture,
    readonly targets: readonly Target[],
    readonly gatewaySocket: string,
    /** Configuration file of gc-worker. */
    readonly policyFile: string,
    /** The mount with gc-worker's state. */
    readonly stateMount: string,
    imageSocket: string,
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
      for (const app of commandApps) {
        const address = `127.0.0.1:${await freePort()}`;
        const ofWorker = app === 'gc-worker';
        const service = await fixture.start(
          app,
          {
            ...often[app],
            STOWAGE_HTTP_ADDR: address,
            STOWAGE_COMMANDS: verbsOf(app).allCommands.join(','),
            STOWAGE_COMMAND_SOCKET: path.join(dir, `${app}.cmd.sock`),
            ...(ofWorker
              ? { STOWAGE_STATE_DIR: path.join(stateMount, 'state') }
              : { STOWAGE_LISTEN: socketOf(app) }),
          },
          ofWorker ? { args: ['--config', policyFile] } : {},
        );
        targets.push({ job: `stowage-${app}`, node: fixture.node, address, service });
      }
      targets.push(await startEarlierVersion(fixture));
      return new DayNode(
        fixture,
        targets,
        socketOf('runtime-gateway'),
        policyFile,
        stateMount,
        socketOf('image-service'),
      );
    } catch (error) {
      await end(fixture, stateMount);
      throw error;
    }
  }

  /** A service of the first node. */
  service(app: App): AppProcess {
    const target = this.targets.find(({ job }) => job === `stowage-${app}`);
    if (target === undefined) throw new Error(`there is no ${app}`);
    return target.service;
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
    await this.targets.at(-1)?.service.kill();
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
async function startEarlierVersion(fixture: ServiceFixture): Promise<Target> {
  const { dir, runtime, nats } = fixture.stack;
  const folder = path.join(dir, 'earlier');
  cpSync(path.join(workspace, 'dist', 'apps', 'image-service'), folder, { recursive: true });
  const main = path.join(folder, 'main.js');
  const { version } = JSON.parse(
    readFileSync(path.join(workspace, 'package.json'), 'utf8'),
  ) as { version: string };
  const source = readFileSync(main, 'utf8');
  writeFileSync(main, source.replaceAll(JSON.stringify(version), '"0.0.1"'));
  const address = `127.0.0.1:${await freePort()}`;
  const service = await spawnApp(main, {
    env: {
      STOWAGE_NODE_NAME: 'day-2.example',
      STOWAGE_RUNTIME_ENDPOINT: runtime.endpoint,
      STOWAGE_NATS_SERVERS: nats.url,
      STOWAGE_STATE_DIR: path.join(dir, 'earlier-state'),
      STOWAGE_LISTEN: path.join(dir, 'earlier.sock'),
      STOWAGE_HTTP_ADDR: address,
    },
  });
  return { job: 'stowage-image-service', node: 'day-2.example', address, service };
}
