import { CancelledError, errorMessage, FailedPreconditionError } from '@stowage/errors';
import { spawn, type ChildProcess } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { isInContainer } from '../stats/cgroup-dirs';
import { localHosts, type Dialer } from './port-forward';

/** How long a helper is kept when nothing is asked of it, milliseconds. */
const keptMs = 30_000;

/**
 * What the helper runs. It connects, and hands the connection over before it has read anything of
 * it: a socket stays in the network namespace in which it was made, whoever has it.
 */
const helperSource = `
const net = require('node:net');
process.on('disconnect', () => process.exit());
process.on('message', ({ id, port, hosts }) => {
  const attempt = ([host, ...others], first) => {
    const socket = new net.Socket({ allowHalfOpen: true });
    socket.pause();
    socket.once('error', (error) => {
      const message = first ?? error.message;
      if (others.length > 0) attempt(others, message);
      else process.send({ id, message });
    });
    socket.once('connect', () => {
      socket.removeAllListeners('error').on('error', () => undefined);
      process.send({ id }, socket);
    });
    socket.connect({ host, port });
  };
  attempt(hosts);
});
process.send({});
`;

interface HelperMessage {
  /** Of the request; absent in the first message, by which the helper says that it is ready. */
  readonly id?: number;
  /** Why there is no connection. */
  readonly message?: string;
}

type Settle = (result: Socket | Error) => void;

/** Connects from inside the network namespace of a sandbox, by a process that is started there. */
export class NamespaceDialer implements Dialer {
  readonly #waiting = new Map<number, Settle>();
  #helper: Promise<ChildProcess> | undefined;
  #lastId = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param pid a process of the sandbox, whose id its control groups are named after. */
  constructor(
    private readonly sandboxId: string,
    private readonly pid: number,
    private readonly onIdle: () => void,
  ) {}

  async connect(port: number, { signal }: { readonly signal: AbortSignal }): Promise<Socket> {
    clearTimeout(this.#timer);
    // A session may ask for many connections at once.
    setMaxListeners(0, signal);
    try {
      signal.throwIfAborted();
      const helper = await (this.#helper ??= this.#start());
      return await this.#ask(helper, port, signal);
    } finally {
      clearTimeout(this.#timer);
      if (this.#waiting.size === 0) {
        this.#timer = setTimeout(() => this.close(), keptMs).unref();
      }
    }
  }

  /** Ends the helper. Connections that it made live on. */
  close(): void {
    clearTimeout(this.#timer);
    const helper = this.#helper;
    this.#helper = undefined;
    void helper?.then((child) => child.kill('SIGKILL')).catch(() => undefined);
    this.#fail(new CancelledError('port-forward'));
    this.onIdle();
  }

  #ask(helper: ChildProcess, port: number, signal: AbortSignal): Promise<Socket> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const settle: Settle = (result) => {
        this.#waiting.delete(id);
        signal.removeEventListener('abort', abort);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      const abort = () => settle(signal.reason as Error);
      this.#waiting.set(id, settle);
      signal.addEventListener('abort', abort, { once: true });
      helper.send({ id, port, hosts: localHosts }, (error) => {
        if (error) settle(error);
      });
    });
  }

  #start(): Promise<ChildProcess> {
    return new Promise((resolve, reject) => {
      const child = spawn(
        'nsenter',
        ['--target', String(this.pid), '--net', '--', process.execPath, '--eval', helperSource],
        { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], env: { PATH: process.env.PATH } },
      );
      const failed = (reason: string) => {
        this.#helper = undefined;
        const problem = new FailedPreconditionError(
          `network namespace of sandbox ${this.sandboxId.slice(0, 12)} cannot be entered: ${reason}`,
        );
        reject(problem);
        this.#fail(problem);
        this.onIdle();
      };
      child.once('error', (error) => failed(errorMessage(error)));
      child.once('exit', (code, by) => failed(`helper ended with ${code ?? by ?? 'nothing'}`));
      child.on('message', (message: HelperMessage, socket: Socket | undefined) => {
        if (message.id === undefined) {
          // It was this sandbox that was entered if the process is still one of it.
          if (isInContainer(this.pid, this.sandboxId)) resolve(child);
          else {
            child.kill('SIGKILL');
            failed('it has ended');
          }
          return;
        }
        this.#answered(message, socket);
      });
    });
  }

  #answered({ id = 0, message }: HelperMessage, socket: Socket | undefined): void {
    const settle = this.#waiting.get(id);
    if (socket !== undefined) {
      socket.allowHalfOpen = true;
      socket.on('error', () => undefined);
      if (settle === undefined) socket.destroy();
      else settle(socket);
      return;
    }
    settle?.(new Error(message ?? 'the connection has ended'));
  }

  #fail(error: Error): void {
    for (const settle of [...this.#waiting.values()]) settle(error);
  }
}
