import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { until } from './until';

/** What a test asks of its server. */
export interface TestNatsServerOptions {
  /** Default true. */
  jetStream?: boolean;
  /** More lines of the configuration file. */
  config?: string;
  /** Variables of the environment that the configuration uses. */
  env?: Record<string, string>;
}

/** A nats-server of its own for a test: a free port (kept over restarts), a temporary folder. */
export class TestNatsServer {
  readonly dir = mkdtempSync(path.join(tmpdir(), 'stowage-nats-'));
  port = -1;
  #child: ChildProcess | undefined;

  /** A running server. */
  static async start(options: TestNatsServerOptions = {}): Promise<TestNatsServer> {
    const server = new TestNatsServer();
    await server.start(options);
    return server;
  }

  /** A free port with nothing on it yet; {@link start} takes it. */
  static async absent(): Promise<TestNatsServer> {
    const server = new TestNatsServer();
    server.port = await freePort();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${String(this.port)}`;
  }

  async start({ jetStream = true, config = '', env }: TestNatsServerOptions = {}): Promise<void> {
    const file = path.join(this.dir, 'nats.conf');
    const store = path.join(this.dir, 'jetstream');
    writeFileSync(file, `${jetStream ? `jetstream { store_dir: "${store}" }\n` : ''}${config}\n`);
    for (const old of readdirSync(this.dir)) {
      if (old.endsWith('.ports')) rmSync(path.join(this.dir, old));
    }
    const log = path.join(this.dir, 'server.log');
    const args = ['-a', '127.0.0.1', '-p', String(this.port), '-c', file, '-l', log];
    const child = spawn('nats-server', [...args, '--ports_file_dir', this.dir], {
      stdio: 'ignore',
      env: { ...process.env, ...env },
    });
    this.#child = child;
    let ended = false;
    child.once('exit', () => (ended = true));
    await until(async () => {
      if (ended) throw new Error(`nats-server ended:\n${readFileSync(log, 'utf8')}`);
      const ports = readdirSync(this.dir).find((name) => name.endsWith('.ports'));
      if (ports === undefined) return false;
      const text = readFileSync(path.join(this.dir, ports), 'utf8');
      if (!text.trimEnd().endsWith('}')) return false; // still being written
      const { nats } = JSON.parse(text) as {
        nats: string[];
      };
      this.port = Number(new URL(nats[0]!).port);
      return answers(this.port);
    });
  }

  /** Ends the process, by SIGKILL by default; the folder stays. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode != null || child.signalCode != null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill(signal);
    await exited;
  }

  /** Freezes the process: connections stay open and nothing is answered. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A port of the loopback that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('data', () => {
      resolve(true);
      socket.destroy();
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}
