import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { claimKeeper } from './cleanup/keeper';
import { ownerMarker } from './cleanup/processes';
import { eventually } from './eventually';
import { freePort } from './ports';
import { tail } from './server-process';

/** How to start an app of the suite. */
export interface SpawnAppOptions {
  /**
   * The app's configuration. Variables of this process that begin with STOWAGE_ are not handed on.
   */
  env?: Readonly<Record<string, string>>;
  args?: readonly string[];
  /** The Node.js that runs it; default: the one that runs here. */
  node?: string;
  /**
   * What to wait for: `readyz` (default) and `healthz` until the address answers 200 and the socket
   * that `STOWAGE_LISTEN` names is there, `spawned` for nothing, or a condition. The app ending
   * before that is an error.
   */
  ready?: 'readyz' | 'healthz' | 'spawned' | ((app: AppProcess) => boolean | Promise<boolean>);
  /** Default 60 000 ms. */
  readyTimeoutMs?: number;
}

/** How a process ended: one of the two is null. */
export interface AppExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A running app. It is killed with this process at the latest. */
export interface AppProcess {
  readonly pid: number;
  /** `http://…` of /metrics, /healthz, /readyz; empty when the environment switches it off. */
  readonly httpUrl: string;
  /** Everything it has printed so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Its log: the lines of stdout that are JSON objects. */
  logLines(): Record<string, unknown>[];
  /** One GET on its HTTP address. */
  get(path: string): Promise<{ status: number; body: string }>;
  /** What /readyz answers: the status, and the sentence about what is missing. */
  readiness(): Promise<{ status: number; text: string }>;
  /** A sample of /metrics by its name and labels, as they stand there; 0 when it is absent. */
  metric(sample: string): Promise<number>;
  readonly exited: Promise<AppExit>;
  /**
   * Sends SIGTERM, waits, and returns the exit code (null when a signal ended it). Default limit 60
   * 000 ms.
   */
  stop(options?: { timeoutMs?: number }): Promise<number | null>;
  /** Ends it with SIGKILL, as a crash would. */
  kill(): Promise<void>;
}

/**
 * Starts `dist/apps/<app>/main.js` (or a script by its absolute path) as a process of its own, on a
 * free HTTP port and without a command socket unless `env` names one, and waits until it is ready.
 */
export async function spawnApp(app: string, options: SpawnAppOptions = {}): Promise<AppProcess> {
  const httpAddr = options.env?.STOWAGE_HTTP_ADDR ?? `127.0.0.1:${await freePort()}`;
  const env = { STOWAGE_COMMAND_SOCKET: '', ...options.env, STOWAGE_HTTP_ADDR: httpAddr };
  const running = launch(app, { ...options, env });
  const { ready = 'readyz', readyTimeoutMs = 60_000 } = options;
  if (ready === 'spawned') return running;
  const socket = options.env?.STOWAGE_LISTEN ?? '';
  const isReady =
    typeof ready === 'function'
      ? () => ready(running)
      : async () =>
          (socket === '' || existsSync(socket)) && (await running.get(`/${ready}`)).status === 200;
  let exit: AppExit | undefined;
  void running.exited.then((how) => (exit = how));
  try {
    await eventually(async () => exit !== undefined || (await isReady()), {
      timeoutMs: readyTimeoutMs,
      what: `${app} to be ready`,
    });
    if (exit !== undefined) throw new Error(`${app} ended before it was ready: ${describe(exit)}`);
    return running;
  } catch (error) {
    await running.kill();
    const output = [running.stdout, running.stderr].map((text) => tail(text, 20)).join('\n');
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${reason}\n${output}`.trimEnd(), { cause: error });
  }
}

/**
 * Runs an app to its end, for `--help` or a wrong configuration. Kills it after `timeoutMs` (60
 * 000).
 */
export async function runApp(
  app: string,
  options: Pick<SpawnAppOptions, 'env' | 'args'> & { timeoutMs?: number } = {},
): Promise<AppExit & { stdout: string; stderr: string }> {
  const running = launch(app, options);
  const timer = setTimeout(() => void running.kill(), options.timeoutMs ?? 60_000);
  const exit = await running.exited;
  clearTimeout(timer);
  return { ...exit, stdout: running.stdout, stderr: running.stderr };
}

const workspace = path.resolve(__dirname, '../../..');

function launch(
  app: string,
  { env, args = [], node = process.execPath }: Pick<SpawnAppOptions, 'env' | 'args' | 'node'>,
): AppProcess {
  const main = path.isAbsolute(app) ? app : path.join(workspace, 'dist', 'apps', app, 'main.js');
  if (!existsSync(main)) throw new Error(`${main} is absent: run \`npm run build\` first`);
  const keeper = claimKeeper();
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('STOWAGE_'));
  const child = spawn(node, [main, ...args], {
    detached: true, // Ctrl+C in a terminal is for the tests, with which the app ends
    env: { ...Object.fromEntries(inherited), ...env, [ownerMarker]: keeper.token },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const exited = new Promise<AppExit>((resolve) => {
    // `close`, not `exit`: by then everything it printed has arrived.
    child.once('close', (code, signal) => {
      void keeper.release().then(() => resolve({ code, signal }));
    });
  });
  const end = async (signal: NodeJS.Signals, timeoutMs: number): Promise<AppExit> => {
    child.kill(signal);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new Error(
            `${app} did not end within ${timeoutMs} ms of ${signal}\n${tail(output.stdout, 20)}`,
          ),
        );
      }, timeoutMs);
    });
    try {
      return await Promise.race([exited, late]);
    } finally {
      clearTimeout(timer);
    }
  };
  const httpAddr = env?.STOWAGE_HTTP_ADDR ?? '';
  const httpUrl = httpAddr === '' ? '' : `http://${httpAddr}`;
  const get = async (target: string) => {
    const response = await fetch(httpUrl + target, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(30_000),
    });
    return { status: response.status, body: await response.text() };
  };
  return {
    pid: child.pid ?? 0,
    httpUrl,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    logLines: () => output.stdout.split('\n').flatMap(parseLogLine),
    get,
    readiness: async () => {
      const { status, body } = await get('/readyz');
      return { status, text: (JSON.parse(body) as { message?: string }).message ?? '' };
    },
    metric: async (sample) => {
      const { body } = await get('/metrics');
      const line = body.split('\n').find((text) => text.startsWith(`${sample} `));
      return line === undefined ? 0 : Number(line.slice(sample.length + 1));
    },
    exited,
    stop: async ({ timeoutMs = 60_000 } = {}) => (await end('SIGTERM', timeoutMs)).code,
    kill: async () => {
      await end('SIGKILL', 30_000);
    },
  };
}

function parseLogLine(line: string): Record<string, unknown>[] {
  if (!line.startsWith('{')) return [];
  try {
    return [JSON.parse(line) as Record<string, unknown>];
  } catch {
    return []; // the line is not complete yet
  }
}

const describe = ({ code, signal }: AppExit): string =>
  signal == null ? `exit code ${code ?? '?'}` : signal;
