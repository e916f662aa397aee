import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { eventually } from './eventually';
import { programEnvironment } from './run-program';
import type { Server } from './types';

/** How to run a server of the stack. */
export interface ServerCommand {
  /** For messages. */
  name: string;
  command: string;
  args: readonly string[];
  /** Environment on top of this process's: the markers by which the process is found again. */
  env: Readonly<Record<string, string>>;
  logFile: string;
  /** Whether it answers. Asked until true; may throw while it does not. */
  isReady: () => Promise<boolean>;
}

/** A server whose process can be stopped and started again. Not started by the constructor. */
export class ServerProcess implements Server {
  #child: ChildProcess | undefined;
  #exited: Promise<string> = Promise.resolve('was never started');

  constructor(private readonly server: ServerCommand) {}

  get running(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const { name, command, args, env, logFile, isReady } = this.server;
    const log = openSync(logFile, 'a', 0o600);
    const child = spawn(command, args, {
      detached: true, // Ctrl+C in a terminal is for the tests, which then end the stack
      env: { ...programEnvironment(), ...env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.unref();
    this.#child = child;
    let ended: string | undefined;
    this.#exited = new Promise((resolve) => {
      const end = (how: string): void => {
        ended = how;
        if (this.#child === child) this.#child = undefined;
        resolve(how);
      };
      child.once('error', (error) => end(error.message));
      child.once('exit', (code, signal) =>
        end(`ended with ${signal ?? `exit code ${code ?? '?'}`}`),
      );
    });
    const ready = await eventually(async () => ended !== undefined || (await isReady()), {
      timeoutMs: 60_000,
      what: `${name} to answer`,
    }).catch((error: unknown) => error);
    if (ended !== undefined || ready instanceof Error) {
      await this.kill();
      const reason =
        ready instanceof Error ? ready.message : `${name} ${ended ?? ''} before it answered`;
      throw new Error(`${reason}\n${tail(this.log(), 20)}`);
    }
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM', 30_000);
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL', 30_000);
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  log(): string {
    return existsSync(this.server.logFile) ? readFileSync(this.server.logFile, 'utf8') : '';
  }

  async #end(signal: NodeJS.Signals, timeoutMs: number): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    child.ref();
    child.kill(signal);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(new Error(`${this.server.name} did not end within ${timeoutMs} ms of ${signal}`)),
        timeoutMs,
      );
    });
    try {
      await Promise.race([this.#exited, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The last lines of a text. */
export const tail = (text: string, lines: number): string =>
  text.trimEnd().split('\n').slice(-lines).join('\n');
