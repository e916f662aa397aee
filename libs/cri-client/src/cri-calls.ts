import type { Client } from '@grpc/grpc-js';
import { methodPath, type ServiceName } from '@stowage/cri-proto/paths';
import { grpcStatusName } from '@stowage/errors';
import { callTimeoutMs } from './call-timeout';
import { RuntimeConnection } from './connection';
import { completeRequest } from './complete-request';
import { CriOptionsError, parseEndpoint } from './endpoint';
import { CriError, CriRequestError } from './errors';
import { callStream, callUnary, type GrpcCall } from './grpc-call';
import { quoteGo } from './go-text';
import type { MethodDefinition, MethodRule } from './method-rules';
import { negotiateVersion } from './negotiate-version';
import type {
  CriCallOptions,
  CriClientOptions,
  CriConnectionView,
  CriServiceName,
  CriStreamOptions,
  CriVersion,
} from './types';

/** Kubelet's runtimeRequestTimeout. */
const defaultTimeoutMs = 120_000;

type AnyMethod = MethodDefinition<unknown, unknown>;
type AnyRule = MethodRule<Record<string, AnyMethod>, unknown, unknown>;

/** A service as its definition and kubelet's rules describe it. */
export interface CriService {
  readonly name: CriServiceName;
  /** Service name without its package. */
  readonly wireName: ServiceName;
  readonly methods: Readonly<Record<string, AnyMethod>>;
  readonly rules: Readonly<Record<string, AnyRule>>;
  /** The method that finds out which package the runtime serves. */
  readonly probe: AnyMethod;
}

/**
 * Opens a connection and returns an object with every call of the service by its name in lower
 * camel case. Connects in the background. Throws CriOptionsError for invalid options.
 */
export function connectService(service: CriService, options: CriClientOptions): CriConnectionView {
  const calls = new CriCaller(service, options);
  const connection = calls.connection;
  const view: CriConnectionView = {
    endpoint: connection.endpoint,
    availability: () => connection.availability(),
    onAvailability: (listener) => connection.onAvailability(listener),
    whenAvailable: (wait) => connection.whenAvailable(wait),
    close: () => {
      connection.close();
    },
  };
  const methods = Object.entries(service.methods).map(([name, method]) => [
    name,
    method.responseStream
      ? (request?: object, call?: CriStreamOptions) => calls.stream(name, request, call)
      : (request?: object, call?: CriCallOptions) => calls.unary(name, request, call),
  ]);
  return { ...view, ...Object.fromEntries(methods) } as CriConnectionView;
}

class CriCaller {
  readonly connection: RuntimeConnection;
  readonly #service: CriService;
  readonly #options: CriClientOptions;
  readonly #baseMs: number;
  /** The connection on which the runtime answered that it has no streaming lists. */
  #withoutStreams: number | undefined;

  constructor(service: CriService, options: CriClientOptions) {
    this.#service = service;
    this.#options = options;
    const { endpoint, timeoutMs = defaultTimeoutMs, versions = 'v1-or-v1alpha2' } = options;
    if (endpoint === '') throw new CriOptionsError('endpoint', 'endpoint is required');
    if (!(timeoutMs > 0)) {
      throw new CriOptionsError('timeoutMs', 'connectionTimeout must be positive');
    }
    const { address } = parseEndpoint(endpoint);
    if (address === '') {
      throw new CriOptionsError(
        'endpoint',
        `endpoint ${quoteGo(endpoint)} has no socket path; write unix:///path/to/the.sock`,
      );
    }
    this.#baseMs = timeoutMs;
    this.connection = new RuntimeConnection({
      endpoint,
      address,
      now: () => (options.now ?? Date.now)(),
      negotiate: (client, signal) =>
        negotiateVersion({
          service: service.name,
          endpoint,
          versions,
          probe: (version) => probe(client, service, version, timeoutMs, signal),
        }),
    });
  }

  async unary(name: string, partial: object | undefined, options: CriCallOptions = {}) {
    const { rule, method } = this.#method(name);
    if (partial === undefined && rule.missingRequest !== undefined) {
      throw new CriRequestError(method.name, rule.missingRequest);
    }
    const request = this.#complete(rule, method, partial);
    const span = this.#observe(rule, method, request);
    try {
      const call = this.#call(rule, method, request, options, span.headers);
      const response = await this.#listOrUnary(rule, call);
      rule.check?.(response, request);
      span.ended();
      return response;
    } catch (cause) {
      const error = rule.translate === undefined ? cause : rule.translate(cause, request);
      span.ended(error);
      throw error;
    }
  }

  async *stream(name: string, partial: object | undefined, options: CriStreamOptions = {}) {
    const { rule, method } = this.#method(name);
    const request = this.#complete(rule, method, partial);
    const span = this.#observe(rule, method, request);
    let error: unknown;
    try {
      const call = this.#call(rule, method, request, options, span.headers);
      yield* callStream(call, () => options.onStarted?.());
    } catch (cause) {
      error = cause;
      throw cause;
    } finally {
      span.ended(error);
    }
  }

  /** A list call uses its streaming variant where that is configured and the runtime has it. */
  async #listOrUnary(rule: AnyRule, call: GrpcCall): Promise<unknown> {
    const { streamed } = rule;
    if (
      streamed === undefined ||
      this.#options.listStreaming !== true ||
      this.connection.availability().connections === this.#withoutStreams
    ) {
      return callUnary(call);
    }
    const { method } = this.#method(streamed.method);
    const request = completeRequest(method.requestType, call.request as object);
    const chunks: unknown[] = [];
    let connectionUsed: number | undefined;
    try {
      const stream = callStream({ ...call, method, request }, (live) => {
        connectionUsed = live.number;
      });
      for await (const chunk of stream) chunks.push(chunk);
      return streamed.collect(chunks);
    } catch (error) {
      if (!(error instanceof CriError) || error.grpcStatus !== 'UNIMPLEMENTED') throw error;
      // Kubelet remembers this for ever; we only until the runtime comes back, perhaps as a newer
      // one.
      this.#withoutStreams = connectionUsed;
      return callUnary(call);
    }
  }

  #method(name: string): { method: AnyMethod; rule: AnyRule } {
    const method = this.#service.methods[name];
    const rule = this.#service.rules[name];
    if (method === undefined || rule === undefined) throw new Error(`no method ${name}`);
    return { method, rule };
  }

  #complete(rule: AnyRule, method: AnyMethod, partial: object | undefined): unknown {
    const request = completeRequest(method.requestType, partial);
    return rule.prepare === undefined ? request : rule.prepare(request, this.#baseMs);
  }

  #call(
    rule: AnyRule,
    method: AnyMethod,
    request: unknown,
    options: CriCallOptions,
    headers: Readonly<Record<string, string>> | undefined,
  ): GrpcCall {
    if (options.timeoutMs !== undefined && !(options.timeoutMs > 0)) {
      throw new CriRequestError(
        method.name,
        `timeoutMs must be positive, not ${options.timeoutMs}`,
      );
    }
    const timeoutMs = callTimeoutMs(rule, request, this.#baseMs, options.timeoutMs);
    return {
      connection: this.connection,
      service: this.#service.wireName,
      method,
      name: method.name,
      request,
      signal: options.signal,
      limit:
        timeoutMs === undefined ? undefined : { timeoutMs, deadlineAt: Date.now() + timeoutMs },
      headers: { ...options.headers, ...headers },
      endsWithConnection: rule.endsWithConnection,
      onSent: options.onSent === undefined ? undefined : () => options.onSent?.(),
    };
  }

  /** Reports a call to the observer, and once how it ended. */
  #observe(rule: AnyRule, method: AnyMethod, request: unknown) {
    const { observer } = this.#options;
    const objectId = rule.objectId?.(request);
    const startedAt = performance.now();
    const span = quietly(() =>
      observer?.callStarted({
        service: this.#service.name,
        method: method.name,
        operation: rule.operation,
        objectId,
        endpoint: this.connection.endpoint,
      }),
    );
    return {
      headers: span?.headers,
      ended: (error?: unknown) => {
        const durationMs = performance.now() - startedAt;
        quietly(() => span?.ended?.(error === undefined ? { durationMs } : { durationMs, error }));
      },
    };
  }
}

/** An observer that throws must not affect the call. */
function quietly<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

/** Kubelet's first call on a connection, with an empty request. */
function probe(
  client: Client,
  service: CriService,
  version: CriVersion,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { name, requestType } = service.probe;
  const request = Buffer.from(requestType.encode(requestType.fromPartial({})).finish());
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      methodPath(service.wireName, name, version),
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      request,
      { deadline: Date.now() + timeoutMs },
      (error) => {
        if (error == null) resolve();
        else
          reject(new CriError(name, grpcStatusName(error.code), error.details, { cause: error }));
      },
    );
    signal.addEventListener('abort', () => {
      call.cancel();
    });
  });
}
