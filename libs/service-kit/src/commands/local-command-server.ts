import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { MessageHandler } from '@nestjs/microservices';
import type { ServiceInfo } from '@stowage/commands';
import { listenUnix, type UnixListener } from '@stowage/cri-endpoint';
import type { Logger } from '../log';
import { CommandRunner, encode, type CommandOutcome } from './command-runner';
import { followCommand } from './follow-command';
import type { CommandExtras } from './handles';
import type { CommandObservation } from './types';

/** What {@link LocalCommandServer} is made with. */
export interface LocalCommandServerOptions {
  readonly app: string;
  readonly nodeName: string;
  readonly socketPath: string;
  /** The handlers of the app by verb; those of commands on NATS. */
  readonly handlers: ReadonlyMap<string, MessageHandler>;
  /** Verbs that are answered on NATS, asked at each command. */
  readonly onNats: ReadonlySet<string>;
  /** Whether every verb is answered here, or only those of `onNats`. */
  readonly answers: 'all' | 'listed';
  readonly log: Logger;
  /** What `GET /v1` says beside the verbs. */
  info(): Omit<ServiceInfo, 'verbs'>;
  observe(observation: CommandObservation): void;
  /** Connections at once; one more is told so. Default 32. */
  readonly maxConnections?: number;
  /** Commands that run or wait to be begun. Default 16. */
  readonly maxInFlight?: number;
  /** Time in which a request has to arrive, and its reply to be taken. Default 10 s. */
  readonly requestMs?: number;
  /** Pause between two looks for a caller that follows a command. Default 500 ms. */
  readonly followMs?: number;
}

/** Largest request and largest reply, bytes. */
const maxRequestBytes = 1 << 20;
const maxReplyBytes = 64 << 20;
/** Commands that are begun in a second; there is no reason for more, and a loop may go wild. */
const maxPerSecond = 100;
/** Callers that follow a command at once. */
const maxFollowers = 16;
/** Longest wait for clients to read their last reply, milliseconds. */
const closeGraceMs = 500;

/** The HTTP status that goes with the code of a reply, as in gRPC's own mapping. */
const httpStatus: Readonly<Record<string, number>> = {
  OK: 200,
  INVALID_ARGUMENT: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ABORTED: 409,
  ALREADY_EXISTS: 409,
  FAILED_PRECONDITION: 412,
  RESOURCE_EXHAUSTED: 429,
  CANCELLED: 499,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

const failure = (code: string, message: string): CommandOutcome => ({
  code,
  reply: encode({ ok: false, error: { code, message } }),
});

/**
 * The commands of an app on a unix socket that only its user and root may use: `POST /v1/<verb>`
 * with the input as JSON, and the reply as on NATS (`?follow`: a line for each new reply of a
 * command that has them); `GET /v1` says who answers. It works without NATS, and from before the
 * app is ready: commands then get UNAVAILABLE.
 */
export class LocalCommandServer {
  readonly #options: LocalCommandServerOptions;
  readonly #runner: CommandRunner;
  readonly #http;
  readonly #sockets = new Set<Socket>();
  /** Connections whose request has not arrived, with the end of their time. */
  readonly #arriving = new Map<Socket, NodeJS.Timeout>();
  readonly #requestMs: number;
  readonly #stop = new AbortController();
  #followers = 0;
  #listener: UnixListener | undefined;
  #isReady = false;
  #ending: Promise<void> | undefined;

  constructor(options: LocalCommandServerOptions) {
    this.#options = options;
    this.#requestMs = options.requestMs ?? 10_000;
    setMaxListeners(maxFollowers + 1, this.#stop.signal);
    const { onNats, answers } = options;
    this.#runner = new CommandRunner({
      maxInFlight: 16,
      ...options,
      allowed: answers === 'all' ? { has: () => true } : onNats,
      maxPerSecond,
      maxRequestBytes,
      replyLimit: 'command socket',
    });
    this.#http = createServer((request, response) => {
      void this.#answer(request, response);
    });
    // A connection is for one command: it is made in no time, and nothing is left to wait for.
    this.#http.maxRequestsPerSocket = 1;
  }

  /**
   * Listens. A file that a dead process left is replaced; a live socket is a SocketInUseError, with
   * `takeOver` it is taken over. What cannot be made is a SocketPathError.
   */
  async listen({ takeOver }: { takeOver: boolean }): Promise<void> {
    const { socketPath, log } = this.#options;
    this.#listener = await listenUnix({ socketPath, takeOver }, (socket) =>
      this.#connected(socket),
    );
    log.info({ socket: socketPath }, 'answering commands');
    if (this.#ending !== undefined) await this.#listener.close();
  }

  /** From now on commands are carried out. */
  ready(): void {
    this.#isReady = true;
  }

  /**
   * Takes no further command. Those that run may go on for `drainMs`, or as long as a later call
   * says, if that is less. Resolves when the last reply has left.
   */
  end({ drainMs }: { drainMs: number }): Promise<void> {
    this.#stop.abort();
    const drained = this.#runner.end({ drainMs });
    this.#ending ??= drained.then(() => this.#close());
    return this.#ending;
  }

  async #close(): Promise<void> {
    await this.#listener?.close();
    for (const socket of this.#arriving.keys()) socket.destroy();
    const end = performance.now() + closeGraceMs;
    while (this.#sockets.size > 0 && performance.now() < end) await delay(10);
    for (const socket of this.#sockets) socket.destroy();
  }

  #connected(socket: Socket): void {
    this.#sockets.add(socket);
    const late = setTimeout(() => socket.destroy(), this.#requestMs);
    this.#arriving.set(socket, late);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#arrived(socket);
    });
    const { maxConnections = 32 } = this.#options;
    if (this.#sockets.size <= maxConnections) {
      this.#http.emit('connection', socket);
      return;
    }
    const { code, reply } = failure(
      'RESOURCE_EXHAUSTED',
      `connections to the command socket: limit of ${maxConnections} reached`,
    );
    const head = [
      `HTTP/1.1 ${httpStatus[code] ?? 500} Too Many Requests`,
      'content-type: application/json',
      `content-length: ${reply.length}`,
      'connection: close',
    ];
    // What the client sends is read: else it would see its connection reset, and no answer.
    socket.resume();
    socket.end(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), reply]));
  }

  #arrived(socket: Socket): void {
    clearTimeout(this.#arriving.get(socket));
    this.#arriving.delete(socket);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    response.on('error', () => undefined);
    const data = await readBody(request);
    if (data === undefined) return;
    this.#arrived(socket);
    response.once('prefinish', () => socket.setTimeout(this.#requestMs, () => socket.destroy()));
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    if (path === '/v1') {
      this.#answerInfo(request, response);
      return;
    }
    const verb = /^\/v1\/([a-z][a-z-]{0,63})$/.exec(path)?.[1];
    if (verb === undefined) {
      send(response, failure('NOT_FOUND', 'there are GET /v1 and POST /v1/<verb>'));
      return;
    }
    if (request.method !== 'POST') {
      notAllowed(response, 'POST');
      return;
    }
    if (!this.#isReady) {
      send(response, failure('UNAVAILABLE', `${this.#options.app} is starting`));
      return;
    }
    const { traceparent, tracestate } = request.headers;
    const trace = { traceparent: String(traceparent ?? ''), tracestate: String(tracestate ?? '') };
    const attributes = { 'network.transport': 'unix' };
    const ask = (respond: (outcome: CommandOutcome) => void) =>
      this.#runner.accept({ verb, data, trace, attributes, maxReplyBytes, respond });
    if (new URLSearchParams(query).has('follow')) await this.#follow(verb, ask, response);
    else ask((outcome) => send(response, outcome));
  }

  /** Line after line until the client leaves or the service stops. */
  async #follow(
    verb: string,
    ask: (respond: (outcome: CommandOutcome) => void) => void,
    response: ServerResponse,
  ): Promise<void> {
    const { app, handlers, followMs = 500 } = this.#options;
    const extras = handlers.get(verb)?.extras as CommandExtras | undefined;
    if (extras !== undefined && extras.command.follows !== true) {
      send(response, failure('INVALID_ARGUMENT', `follow: ${app}.${verb} has one reply`));
      return;
    }
    if (this.#followers >= maxFollowers) {
      const text = `callers that follow commands: limit of ${maxFollowers} reached`;
      send(response, failure('RESOURCE_EXHAUSTED', text));
      return;
    }
    this.#followers += 1;
    try {
      await followCommand({
        ask: () => new Promise<CommandOutcome>(ask),
        refuse: (outcome) => send(response, outcome),
        ...{ response, pauseMs: followMs, stallMs: this.#requestMs, signal: this.#stop.signal },
      });
    } finally {
      this.#followers -= 1;
    }
  }

  #answerInfo({ method }: IncomingMessage, response: ServerResponse): void {
    if (method !== 'GET' && method !== 'HEAD') {
      notAllowed(response, 'GET, HEAD');
      return;
    }
    const { handlers, onNats, answers } = this.#options;
    const verbs = [...handlers.values()].map(({ extras }) => {
      const { verb, description } = (extras as unknown as CommandExtras).command;
      const nats = onNats.has(verb);
      return { verb, description, answered: { nats, local: answers === 'all' || nats } };
    });
    const result: ServiceInfo = { ...this.#options.info(), verbs };
    send(response, { code: 'OK', reply: encode({ ok: true, result }) });
  }
}

/**
 * The body, or more than the limit of it, which is then refused; the rest is read and dropped.
 * Undefined when the client leaves.
 */
function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      if (bytes <= maxRequestBytes) chunks.push(chunk);
      bytes += chunk.length;
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('close', () => resolve(undefined));
    request.once('error', () => resolve(undefined));
  });
}

function notAllowed(response: ServerResponse, allowed: string): void {
  response.setHeader('allow', allowed);
  send(response, failure('UNIMPLEMENTED', `method not allowed; allowed: ${allowed}`), 405);
}

function send(
  response: ServerResponse,
  { code, reply }: CommandOutcome,
  status = httpStatus[code] ?? 500,
): void {
  // The client may have left meanwhile.
  if (response.destroyed) return;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': reply.length,
    'cache-control': 'no-store',
  });
  response.end(response.req.method === 'HEAD' ? undefined : reply);
}
