import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from './ports';
import { requirePrerequisites } from './prerequisites';
import { ServerProcess } from './server-process';
import type { NatsServer } from './types';

/** nats-server with JetStream on a loopback port. */
export class NatsServerProcess extends ServerProcess implements NatsServer {
  readonly url: string;

  constructor(
    readonly port: number,
    { dir, env }: { dir: string; env: Readonly<Record<string, string>> },
  ) {
    super({
      name: 'nats-server',
      command: 'nats-server',
      args: ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', path.join(dir, 'nats')],
      env,
      logFile: path.join(dir, 'logs', 'nats-server.log'),
      isReady: async () => /^INFO .*"jetstream":\s*true/.test(await greeting(port)),
    });
    this.url = urlOf(port);
  }
}

/** How a {@link TestNatsServer} is configured. */
export interface NatsConfiguration {
  /** Default true. */
  jetStream?: boolean;
  /** More lines of its configuration file. */
  config?: string;
}

/** Variables that a configuration refers to as `$NAME`. */
type Variables = Readonly<Record<string, string>>;

/**
 * A nats-server without a stack, for tests of what is configured in the server itself. It has a
 * temporary folder and a port, which it keeps over stops. It ends with `remove()`, or with this
 * process.
 */
export class TestNatsServer extends ServerProcess implements NatsServer {
  readonly url: string;

  private constructor(
    readonly port: number,
    /** Configuration, log, and the data of JetStream. */
    readonly dir: string,
    env: Variables,
  ) {
    const server = ['nats-server', '-a', '127.0.0.1', '-p', String(port), '-c', fileIn(dir)];
    super({
      name: 'nats-server',
      command: 'setpriv', // ends it with this process, however that ends
      args: ['--pdeathsig', 'KILL', ...server],
      env,
      logFile: path.join(dir, 'nats-server.log'),
      isReady: async () => (await greeting(port)) !== '',
    });
    this.url = urlOf(port);
  }

  /** A running server. */
  static async start({
    env,
    ...configuration
  }: NatsConfiguration & { env?: Variables } = {}): Promise<TestNatsServer> {
    const server = await TestNatsServer.absent({ env });
    try {
      await server.start(configuration);
      return server;
    } catch (error) {
      await server.remove();
      throw error;
    }
  }

  /** A port that nothing listens on yet; {@link start} takes it. */
  static async absent({ env = {} }: { env?: Variables } = {}): Promise<TestNatsServer> {
    requirePrerequisites(['nats-server'], { root: false });
    const dir = mkdtempSync(path.join(tmpdir(), 'stowage-nats-'));
    return new TestNatsServer(await freePort(), dir, env);
  }

  /** Starts it with this configuration, whatever it had before. */
  override async start({ jetStream = true, config = '' }: NatsConfiguration = {}): Promise<void> {
    const store = path.join(this.dir, 'jetstream');
    const lines = [...(jetStream ? [`jetstream { store_dir: "${store}" }`] : []), config, ''];
    writeFileSync(fileIn(this.dir), lines.join('\n'));
    await super.start();
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const fileIn = (dir: string): string => path.join(dir, 'nats.conf');
const urlOf = (port: number): string => `nats://127.0.0.1:${port}`;

/**
 * What a NATS server sends on each new connection: one line about its features. Empty while nobody
 * listens.
 */
function greeting(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect(port, '127.0.0.1');
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.includes('\r\n')) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}
