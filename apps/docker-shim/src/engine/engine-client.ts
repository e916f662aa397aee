import type {
  AuthConfig,
  ContainerCreateRequest,
  ContainerInspectResponse,
  ContainerNetworkStats,
  ContainerStatsResponse,
  ContainerSummary,
  ContainerUpdateRequest,
  EventMessage,
  ExecConfig,
  ExecInspectResponse,
  HistoryResponseItem,
  IDResponse,
  ImageInspect,
  ImageSummary,
  JSONMessage,
  SystemDataUsageResponse,
  SystemInfo,
  SystemVersion,
} from '@docker/node-sdk';
import { DeadlineExceededError } from '@stowage/errors';
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import type { Socket } from 'node:net';
import { EngineAnswerError, EngineResponseError, EngineUnreachableError } from './engine-errors';

/**
 * What an engine answers: the fields of Docker's description of its API, none of which every
 * version of the engine sends, and lists of which it sends null for empty.
 */
export type Answer<T> = { readonly [K in keyof T]?: T[K] | null };

export type EngineVersion = Answer<SystemVersion>;
export type EngineInfo = Answer<SystemInfo>;
export type ListedImage = Answer<ImageSummary>;
export type InspectedImage = Answer<ImageInspect>;
export type ImageHistoryItem = Answer<HistoryResponseItem>;
export type ListedContainer = Answer<ContainerSummary>;
export type InspectedContainer = Answer<ContainerInspectResponse>;
/** What an engine is sent; whole numbers beyond 2^53 are bigints. */
export type Sent<T> = T extends number
  ? number | bigint
  : T extends readonly (infer Item)[]
    ? readonly Sent<Item>[]
    : T extends object
      ? { readonly [K in keyof T]?: Sent<T[K]> | undefined }
      : T;
export type NewContainer = Sent<ContainerCreateRequest>;
export type ContainerChanges = Sent<ContainerUpdateRequest>;
export type InspectedExec = Answer<ExecInspectResponse>;
/** What an exec is created with. */
export type NewExec = ExecConfig;
export type RegistryLogin = AuthConfig & {
  readonly identitytoken?: string;
  readonly registrytoken?: string;
};
/** One line of a pull's answer; `error` is what engines before 28 send beside `errorDetail`. */
export type PullMessage = Answer<JSONMessage> & { readonly error?: string };
/**
 * Totals as the description has them, and as API 1.52 and later send them, which it does not
 * describe yet.
 */
export type DiskUsage = Answer<SystemDataUsageResponse> & {
  readonly ImageUsage?: { readonly TotalSize?: number } | null;
  readonly ContainerUsage?: { readonly TotalSize?: number } | null;
};

export type EngineStats = Answer<Omit<ContainerStatsResponse, 'networks'>> & {
  readonly networks?: Readonly<Record<string, ContainerNetworkStats>> | null;
};
export type EngineEvent = Answer<EventMessage>;

/** Of every call. */
export interface EngineCall {
  /** Gives the call up; the engine sees the connection end. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Longest time to the end of the answer, milliseconds; Infinity for none. Default
   * {@link EngineClientOptions.timeoutMs}.
   */
  readonly timeoutMs?: number;
}

/** What a call ended with, for metrics. */
export interface EndedEngineCall {
  readonly operation: string;
  /** HTTP status; absent where none came. */
  readonly status: number | undefined;
  readonly durationMs: number;
}

export interface EngineClientOptions {
  /** Path of the engine's unix socket. */
  readonly socketPath: string;
  /** Version of the API in every path; absent for the calls that find it out. */
  readonly api?: string;
  /** Default limit of a call, milliseconds. */
  readonly timeoutMs: number;
  /**
   * Connections at once; further calls wait. What may take long has connections beside them: pulls,
   * streams, and stops of containers. Default 64.
   */
  readonly maxSockets?: number;
  /** Longest JSON answer, bytes. Default 64 MiB. */
  readonly maxAnswerBytes?: number;
  readonly onEnded?: (call: EndedEngineCall) => void;
}

/** Signs of life of an engine, over a connection of their own. */
export interface Pings {
  /** Asks for one. */
  readonly ping: (call: EngineCall) => Promise<void>;
  readonly close: () => void;
}

interface Request {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'DELETE';
  /** Below the version. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: object;
}

/** Over which connections a request goes. */
interface Connections {
  /** Default those that most calls share; false for one of its own. */
  readonly agent?: http.Agent | false;
  /** Called with the connection that it has got. */
  readonly onSocket?: (socket: Socket) => void;
}

/**
 * Docker Engine's API over its unix socket, and the only code that knows its HTTP. Every method
 * rejects with {@link EngineResponseError} when the engine refuses, {@link EngineUnreachableError}
 * when no answer comes, `DeadlineExceededError` at the limit of the call, and the reason of the
 * caller's signal when that is aborted.
 */
export class EngineClient {
  readonly endpoint: string;
  readonly #options: EngineClientOptions;
  readonly #agent: http.Agent;
  /** For calls of which any number may wait for long. */
  readonly #waiting = new http.Agent();
  /** Operations under way, also those that wait for a connection. */
  readonly #calls = new Map<AbortController, string>();

  constructor(options: EngineClientOptions) {
    this.#options = options;
    this.endpoint = `unix://${options.socketPath}`;
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: options.maxSockets ?? 64 });
  }

  /** Closes idle connections and those of calls in flight, which fail. */
  close(): void {
    for (const [over, operation] of this.#calls) {
      over.abort(new EngineUnreachableError(operation, this.endpoint, 'the connection has ended'));
    }
    this.#agent.destroy();
    this.#waiting.destroy();
  }

  /**
   * Opens a connection for signs of life with the first of them. No other call keeps it waiting,
   * and its end shows at once that of the engine. Not one without any request: engines from 23.0 on
   * end that after five minutes.
   *
   * @param onEnded called when the connection has ended.
   */
  openPings(onEnded: () => void): Pings {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    let known: Socket | undefined;
    const onSocket = (socket: Socket) => {
      if (socket === known) return;
      known = socket;
      socket.once('close', onEnded);
    };
    return {
      ping: async (call) => {
        await this.#answer('ping', { path: '/_ping' }, call, { agent, onSocket });
      },
      close: () => agent.destroy(),
    };
  }

  /**
   * Asks for nothing but an answer, and returns the newest version of the API that the engine
   * speaks.
   */
  async ping(call: EngineCall = {}): Promise<string | undefined> {
    return this.#within('ping', call, async (signal) => {
      const response = await this.#send('ping', { path: '/_ping' }, signal);
      await this.#text('ping', response);
      const version = response.headers['api-version'];
      return typeof version === 'string' ? version : undefined;
    });
  }

  version(call: EngineCall = {}): Promise<EngineVersion> {
    return this.#json('version', { path: '/version' }, call);
  }

  info(call: EngineCall = {}): Promise<EngineInfo> {
    return this.#json('info', { path: '/info' }, call);
  }

  listImages(call: EngineCall = {}): Promise<ListedImage[]> {
    return this.#list('list images', { path: '/images/json' }, call);
  }

  /** @param name a reference, an id, or the beginning of an id. */
  inspectImage(name: string, call: EngineCall = {}): Promise<InspectedImage> {
    return this.#json('inspect image', { path: `/images/${inPath(name)}/json` }, call);
  }

  imageHistory(name: string, call: EngineCall = {}): Promise<ImageHistoryItem[]> {
    return this.#list('image history', { path: `/images/${inPath(name)}/history` }, call);
  }

  /**
   * Removes an image with all its names, though there are several; `force` does not reach images of
   * running containers.
   */
  async removeImage(name: string, call: EngineCall = {}): Promise<void> {
    await this.#json(
      'remove image',
      { method: 'DELETE', path: `/images/${inPath(name)}`, query: { force: true } },
      call,
    );
  }

  /**
   * Pulls an image. The messages are those of the engine: it reports most failures in them, with
   * the status of a success. Whoever stops to read, stops the pull.
   */
  async *pullImage(
    image: { readonly repository: string; readonly tagOrDigest: string },
    login: RegistryLogin | undefined,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<PullMessage, void, undefined> {
    const operation = 'pull image';
    const started = performance.now();
    let status: number | undefined;
    try {
      const response = await this.#send(
        operation,
        {
          method: 'POST',
          path: '/images/create',
          query: { fromImage: image.repository, tag: image.tagOrDigest },
          headers:
            login === undefined
              ? {}
              : { 'x-registry-auth': paddedBase64Url(JSON.stringify(login)) },
        },
        signal,
        { agent: false },
      );
      status = response.statusCode;
      yield* this.#jsonLines<PullMessage>(operation, response);
    } catch (error) {
      if (error instanceof EngineResponseError) status = error.status;
      if (signal.aborted) throw signal.reason;
      throw error;
    } finally {
      this.#ended(operation, status, started);
    }
  }

  /** @param filters as the engine has them, for instance `{ ancestor: ['sha256:…'] }`. */
  listContainers(
    filters: Readonly<Record<string, readonly string[]>> = {},
    call: EngineCall = {},
  ): Promise<ListedContainer[]> {
    return this.#list(
      'list containers',
      { path: '/containers/json', query: { all: true, filters: JSON.stringify(filters) } },
      call,
    );
  }

  /**
   * @param id an id, its beginning, or a name.
   * @param call with `size`, the engine goes through all files that the container wrote.
   */
  inspectContainer(
    id: string,
    { size, ...call }: EngineCall & { readonly size?: true } = {},
  ): Promise<InspectedContainer> {
    return this.#json(
      size === true ? 'measure container' : 'inspect container',
      { path: `/containers/${inPath(id)}/json`, query: { size } },
      call,
    );
  }

  /** Creates a container and returns its id. */
  async createContainer(
    name: string,
    container: NewContainer,
    call: EngineCall = {},
  ): Promise<string> {
    const operation = 'create container';
    const { Id } = await this.#json<{ readonly Id?: string }>(
      operation,
      { method: 'POST', path: '/containers/create', query: { name }, body: container },
      call,
    );
    if (Id === undefined || Id === '') throw new EngineAnswerError(operation, 'holds no id');
    return Id;
  }

  /** Starts a container; one that runs is left as it is. */
  async startContainer(id: string, call: EngineCall = {}): Promise<void> {
    await this.#post('start container', `/containers/${inPath(id)}/start`, {}, call);
  }

  /**
   * Sends the container's stop signal, and SIGKILL when it still runs after `graceSeconds`.
   * Resolves when it has ended. The limit of the call has to be longer than the grace.
   */
  async stopContainer(id: string, graceSeconds: number, call: EngineCall = {}): Promise<void> {
    await this.#answer(
      'stop container',
      { method: 'POST', path: `/containers/${inPath(id)}/stop`, query: { t: graceSeconds } },
      call,
      { agent: this.#waiting },
    );
  }

  /** Sends SIGKILL; the engine answers 409 for a container that does not run. */
  async killContainer(id: string, call: EngineCall = {}): Promise<void> {
    await this.#post('kill container', `/containers/${inPath(id)}/kill`, {}, call);
  }

  /** Removes a container, running or not, with its anonymous volumes. */
  async removeContainer(id: string, call: EngineCall = {}): Promise<void> {
    await this.#answer(
      'remove container',
      { method: 'DELETE', path: `/containers/${inPath(id)}`, query: { force: true, v: true } },
      call,
    );
  }

  /** Changes the resources of a container. */
  async updateContainer(
    id: string,
    changes: ContainerChanges,
    call: EngineCall = {},
  ): Promise<void> {
    const path = `/containers/${inPath(id)}/update`;
    await this.#post('update container', path, { body: changes }, call);
  }

  /**
   * @param type the one kind to measure, where the API has that (1.42); absent, all kinds are
   *   measured, which takes long.
   */
  diskUsage(type: 'image' | 'container' | undefined, call: EngineCall = {}): Promise<DiskUsage> {
    return this.#json('disk usage', { path: '/system/df', query: { type } }, call);
  }

  /** What a container uses now; without the second sample that rates would need. */
  containerStats(id: string, call: EngineCall = {}): Promise<EngineStats> {
    return this.#json(
      'container stats',
      {
        path: `/containers/${inPath(id)}/stats`,
        query: { stream: false, 'one-shot': true },
      },
      call,
    );
  }

  /**
   * What happens in the engine from now on: resolves when the engine listens for events, then gives
   * each as it comes. The engine drops events for a reader that does not take them at once. Whoever
   * stops to read ends it.
   *
   * @param filters as the engine has them, for instance `{ type: ['container'] }`.
   */
  async openEvents(
    filters: Readonly<Record<string, readonly string[]>>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<AsyncGenerator<EngineEvent, void, undefined>> {
    const operation = 'events';
    const started = performance.now();
    try {
      const response = await this.#send(
        operation,
        { path: '/events', query: { filters: JSON.stringify(filters) } },
        signal,
        { agent: false },
      );
      this.#ended(operation, response.statusCode, started);
      return this.#jsonLines<EngineEvent>(operation, response);
    } catch (error) {
      const status = error instanceof EngineResponseError ? error.status : undefined;
      this.#ended(operation, status, started);
      if (signal.aborted) throw signal.reason;
      throw error;
    }
  }

  /**
   * A file or folder of a container as a tar archive, whether it runs or not. Links are not
   * followed.
   *
   * @param call `maxBytes` is the longest archive, bytes.
   */
  readArchive(
    id: string,
    file: string,
    { maxBytes, ...call }: EngineCall & { readonly maxBytes: number },
  ): Promise<Buffer> {
    const operation = 'read archive';
    const path = `/containers/${inPath(id)}/archive`;
    return this.#within(operation, call, async (signal) =>
      this.#body(
        operation,
        await this.#send(operation, { path, query: { path: file } }, signal),
        maxBytes,
      ),
    );
  }

  /** Whether a container has a file or folder of this path; the engine answers 404 when not. */
  async statArchive(id: string, file: string, call: EngineCall = {}): Promise<void> {
    const path = `/containers/${inPath(id)}/archive`;
    await this.#answer('stat archive', { method: 'HEAD', path, query: { path: file } }, call);
  }

  /** A list that is empty may come as null: a history, with the image store of containerd. */
  async #list<T>(operation: string, request: Request, call: EngineCall): Promise<T[]> {
    return (await this.#json<T[] | null>(operation, request, call)) ?? [];
  }

  async #json<T>(operation: string, request: Request, call: EngineCall): Promise<T> {
    return parseAnswer(operation, await this.#answer(operation, request, call)) as T;
  }

  /** A call whose answer holds nothing that anybody reads. */
  async #post(
    operation: string,
    path: string,
    request: Pick<Request, 'query' | 'body'>,
    call: EngineCall,
  ): Promise<void> {
    await this.#answer(operation, { ...request, method: 'POST', path }, call);
  }

  #answer(
    operation: string,
    request: Request,
    call: EngineCall,
    connections?: Connections,
  ): Promise<string> {
    return this.#within(operation, call, async (signal) =>
      this.#text(operation, await this.#send(operation, request, signal, connections)),
    );
  }

  /**
   * Runs a call under the caller's signal and its own limit, and says which of the two ended it.
   */
  async #within<T>(
    operation: string,
    { signal, timeoutMs = this.#options.timeoutMs }: EngineCall,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const started = performance.now();
    const over = new AbortController();
    this.#calls.set(over, operation);
    const abort = () => over.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const timer = Number.isFinite(timeoutMs)
      ? setTimeout(() => {
          over.abort(
            new DeadlineExceededError(`Docker Engine's answer to ${operation}`, timeoutMs),
          );
        }, timeoutMs)
      : undefined;
    let status: number | undefined;
    try {
      const result = await run(over.signal);
      status = 200;
      return result;
    } catch (error) {
      if (error instanceof EngineResponseError) status = error.status;
      if (over.signal.aborted) throw over.signal.reason;
      throw error;
    } finally {
      this.#calls.delete(over);
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      this.#ended(operation, status, started);
    }
  }

  #ended(operation: string, status: number | undefined, started: number): void {
    this.#options.onEnded?.({ operation, status, durationMs: performance.now() - started });
  }

  /** Sends a request and resolves with the head of a good answer. */
  async #send(
    operation: string,
    request: Request,
    signal: AbortSignal,
    { agent = this.#agent, onSocket }: Connections = {},
  ): Promise<http.IncomingMessage> {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const sent = this.#request(request, signal, agent);
      if (onSocket !== undefined) sent.once('socket', onSocket);
      sent.once('response', resolve);
      sent.once('error', (error) => reject(this.#unreachable(operation, error)));
    });
    const { statusCode = 0 } = response;
    // 304: the container is already as it was asked to be.
    if ((statusCode >= 200 && statusCode < 300) || statusCode === 304) return response;
    const text = await this.#text(operation, response);
    throw new EngineResponseError(operation, statusCode, refusalText(text, statusCode));
  }

  #request(
    { method = 'GET', path, query = {}, headers = {}, body }: Request,
    signal: AbortSignal,
    agent: http.Agent | false,
  ): http.ClientRequest {
    const { socketPath, api } = this.#options;
    const given = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) given.set(name, String(value));
    }
    const search = given.size === 0 ? '' : `?${given.toString()}`;
    const sent = body === undefined ? '' : requestBody(body);
    const ofContent = body === undefined ? {} : { 'content-type': 'application/json' };
    const request = http.request({
      socketPath,
      agent,
      method,
      path: `${api === undefined ? '' : `/v${api}`}${path}${search}`,
      headers: {
        host: 'docker',
        ...(method === 'POST' && { 'content-length': Buffer.byteLength(sent) }),
        ...ofContent,
        ...headers,
      },
      signal,
    });
    request.end(sent);
    return request;
  }

  async #text(operation: string, response: http.IncomingMessage): Promise<string> {
    const { maxAnswerBytes = 64 * 1024 * 1024 } = this.#options;
    return (await this.#body(operation, response, maxAnswerBytes)).toString();
  }

  async #body(
    operation: string,
    response: http.IncomingMessage,
    maxBytes: number,
  ): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > maxBytes) {
          throw new EngineAnswerError(operation, `is longer than ${maxBytes} bytes`);
        }
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof EngineAnswerError) throw error;
      throw this.#unreachable(operation, error);
    }
    return Buffer.concat(chunks, bytes);
  }

  async *#jsonLines<T>(operation: string, response: http.IncomingMessage): AsyncGenerator<T> {
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (line.trim() !== '') yield parseAnswer(operation, line) as T;
        }
      }
    } catch (error) {
      if (error instanceof EngineAnswerError) throw error;
      throw this.#unreachable(operation, error);
    }
    if (rest.trim() !== '') yield parseAnswer(operation, rest) as T;
  }

  #unreachable(operation: string, error: unknown): EngineUnreachableError {
    const { message, code } = error as NodeJS.ErrnoException;
    const reason =
      code === 'ECONNRESET' ? `the connection ended before the answer to ${operation}` : message;
    return new EngineUnreachableError(operation, this.endpoint, reason, { cause: error });
  }

  /** Prepares a command in a running container, and returns the id of the exec. */
  async createExec(containerId: string, exec: NewExec, call: EngineCall = {}): Promise<string> {
    const { Id } = await this.#json<Answer<IDResponse>>(
      'create exec',
      { method: 'POST', path: `/containers/${inPath(containerId)}/exec`, body: exec },
      call,
    );
    return Id ?? '';
  }

  /**
   * Starts an exec, and returns its streams: the bytes of a terminal as they are, else both outputs
   * in frames of their own. What is written is its input, and the end of it can be sent alone.
   */
  startExec(execId: string, { tty }: { tty: boolean }, call: EngineCall = {}): Promise<Socket> {
    return this.#hijack(
      'start exec',
      {
        method: 'POST',
        path: `/exec/${inPath(execId)}/start`,
        body: { Detach: false, Tty: tty },
      },
      call,
    );
  }

  inspectExec(execId: string, call: EngineCall = {}): Promise<InspectedExec> {
    return this.#json('inspect exec', { path: `/exec/${inPath(execId)}/json` }, call);
  }

  async resizeExec(
    execId: string,
    { width, height }: { readonly width: number; readonly height: number },
    call: EngineCall = {},
  ): Promise<void> {
    await this.#unread(
      'resize exec',
      { method: 'POST', path: `/exec/${inPath(execId)}/resize`, query: { w: width, h: height } },
      call,
    );
  }

  /** The streams of a running container from now on, as {@link startExec} returns them. */
  attachContainer(
    containerId: string,
    { stdin, stdout, stderr }: { stdin: boolean; stdout: boolean; stderr: boolean },
    call: EngineCall = {},
  ): Promise<Socket> {
    const flags = new URLSearchParams({ stream: '1', logs: '0' });
    for (const [name, isWanted] of Object.entries({ stdin, stdout, stderr })) {
      flags.set(name, isWanted ? '1' : '0');
    }
    return this.#hijack(
      'attach container',
      {
        method: 'POST',
        // The engine takes raw bytes as keys, which no form of a query in text has.
        path: `/containers/${inPath(containerId)}/attach?${flags.toString()}&detachKeys=${attachDetachKeys}`,
      },
      call,
    );
  }

  async resizeContainer(
    containerId: string,
    { width, height }: { readonly width: number; readonly height: number },
    call: EngineCall = {},
  ): Promise<void> {
    await this.#unread(
      'resize container',
      {
        method: 'POST',
        path: `/containers/${inPath(containerId)}/resize`,
        query: { w: width, h: height },
      },
      call,
    );
  }

  /** A call whose good answer says nothing. */
  #unread(operation: string, request: Request, call: EngineCall): Promise<string> {
    return this.#within(operation, call, async (signal) =>
      this.#text(operation, await this.#send(operation, request, signal)),
    );
  }

  /** A call after which the connection is the stream that was asked for. */
  #hijack(operation: string, request: Request, call: EngineCall): Promise<Socket> {
    const headers = { connection: 'Upgrade', upgrade: 'tcp' };
    return this.#within(operation, call, async (signal) => {
      const answer = await new Promise<Socket | http.IncomingMessage>((resolve, reject) => {
        const sent = this.#request({ ...request, headers }, signal, false);
        sent.once('upgrade', (_response, socket: Socket, head) => {
          if (head.length > 0) socket.unshift(head);
          // Whoever reads it learns of its end.
          socket.on('error', () => undefined);
          resolve(socket);
        });
        sent.once('response', resolve);
        sent.once('error', (error) => reject(this.#unreachable(operation, error)));
      });
      if (!(answer instanceof http.IncomingMessage)) return answer;
      const { statusCode = 0 } = answer;
      const text = await this.#text(operation, answer);
      if (statusCode < 400) throw new EngineAnswerError(operation, 'is no stream');
      throw new EngineResponseError(operation, statusCode, refusalText(text, statusCode));
    });
  }
}

/**
 * Keys that end an attach. The engine has a default, ctrl-p ctrl-q, which would keep each ctrl-p
 * from the container: bytes that are in no text of UTF-8 take its place.
 */
const attachDetachKeys = Array.from({ length: 8 }, () => '%FF').join(',');

/**
 * Names of images hold slashes, which stay as they are; what else could mean something in a path
 * does not.
 */
const inPath = (name: string): string => name.split('/').map(encodeURIComponent).join('/');

/** Go's decoder refuses what is not padded, and the engine then pulls without a credential. */
const paddedBase64Url = (text: string): string =>
  Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_');

/** An engine's own words about a refusal. */
function refusalText(text: string, status: number): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string' && message !== '') return message;
  } catch {
    // Not from the engine's API: a proxy's page, or nothing.
  }
  return `Docker Engine answered with HTTP status ${status}`;
}

/** Strings, so that digits in them are passed over, and numbers. */
const stringOrNumber = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const longInteger = /^-?\d{16,}$/;
/** Where a number may stand; ids are full of digits, but in strings. */
const longNumber = /[:,[]\s*-?\d{16}/;
/** Nobody can know it, so that no text of an answer begins so. */
const marker = `integer:${randomUUID()}:`;

/** JSON in which bigints are whole numbers. */
function requestBody(body: object): string {
  const long: string[] = [];
  const mark = `integer:${randomUUID()}`;
  const text = JSON.stringify(body, (_key, value: unknown) => {
    if (typeof value !== 'bigint') return value;
    if (Number.isSafeInteger(Number(value))) return Number(value);
    long.push(String(value));
    return mark;
  });
  return long.length === 0 ? text : text.replaceAll(`"${mark}"`, () => long.shift() ?? '0');
}

/**
 * JSON in which whole numbers beyond 2^53 become bigints, so that `BigInt(value)` has the engine's
 * value.
 */
export function parseAnswer(operation: string, text: string): unknown {
  try {
    if (!longNumber.test(text)) return JSON.parse(text);
    const marked = text.replace(stringOrNumber, (token) => {
      if (!longInteger.test(token) || Number.isSafeInteger(Number(token))) return token;
      return JSON.stringify(marker + token);
    });
    if (marked === text) return JSON.parse(text);
    return JSON.parse(marked, (_key, value: unknown) =>
      typeof value === 'string' && value.startsWith(marker)
        ? BigInt(value.slice(marker.length))
        : value,
    );
  } catch (cause) {
    throw new EngineAnswerError(operation, 'is no JSON', { cause });
  }
}
