import {
  createChannel,
  createClient,
  createServer,
  ClientError,
  ServerError,
  Status,
  type CallContext,
} from 'nice-grpc';
import { ImageServiceDefinition, RuntimeServiceDefinition } from '@stowage/cri-proto';
import { madeIdOf, resultOf, toJson, type RecordedCall } from './recorded-call';

/**
 * Calls that make something of a pod, or ask about one: what kubelet asks again and again is not
 * recorded.
 */
const recorded = new Set([
  'runPodSandbox',
  'podSandboxStatus',
  'imageStatus',
  'pullImage',
  'createContainer',
  'startContainer',
  'containerStatus',
  'execSync',
  'stopContainer',
  'removeContainer',
  'stopPodSandbox',
  'removePodSandbox',
]);

type Method = (request: unknown, options?: { signal: AbortSignal }) => unknown;

/**
 * A CRI socket between kubelet and what it would otherwise be pointed at, which writes down what is
 * called.
 */
export class CallRecorder {
  readonly #calls: { begun: number; call: RecordedCall }[] = [];
  readonly #seen = new Set<string>();
  readonly #open: (() => void)[] = [];

  private constructor(
    /** Hides what differs from run to run. */
    private readonly hide: (text: string) => string,
  ) {}

  static async start(
    socket: string,
    upstream: { runtime: string; image: string },
    hide: (text: string) => string,
  ): Promise<CallRecorder> {
    const recorder = new CallRecorder(hide);
    const server = createServer({ 'grpc.max_receive_message_length': -1 });
    for (const [definition, endpoint] of [
      [RuntimeServiceDefinition, upstream.runtime],
      [ImageServiceDefinition, upstream.image],
    ] as const) {
      const channel = createChannel(endpoint, undefined, {
        'grpc.default_authority': 'localhost',
        'grpc.max_receive_message_length': -1,
      });
      recorder.#open.push(() => channel.close());
      const client = createClient(definition, channel) as unknown as Record<string, Method>;
      const handlers = Object.entries(definition.methods).map(([name, { responseStream }]) => {
        const call = client[name];
        if (call === undefined) throw new Error(`no method ${name}`);
        return [name, responseStream ? stream(call) : recorder.#unary(name, call)];
      });
      server.add(definition, Object.fromEntries(handlers) as never);
    }
    await server.listen(`unix://${socket}`);
    recorder.#open.push(() => server.forceShutdown());
    return recorder;
  }

  /**
   * In the order in which they were begun: each comes after the call that has made what it is
   * about, and before what it brings about.
   */
  get calls(): RecordedCall[] {
    return this.#calls.sort((a, b) => a.begun - b.begun).map(({ call }) => call);
  }

  close(): void {
    for (const end of this.#open) end();
  }

  #unary(name: string, call: Method) {
    return async (request: unknown, { signal }: CallContext): Promise<unknown> => {
      const begun = performance.now();
      try {
        const response = await call(request, { signal });
        this.#record(begun, name, request, 'OK', response);
        return response;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        this.#record(begun, name, request, Status[error.code], error.details);
        throw new ServerError(error.code, error.details);
      }
    };
  }

  #record(
    begun: number,
    method: string,
    request: unknown,
    status: string,
    response: unknown,
  ): void {
    if (!recorded.has(method)) return;
    // kubelet's reader of control groups takes sandboxes for containers, and asks about them.
    if (method === 'containerStatus' && status !== 'OK') return;
    const plain: unknown = JSON.parse(toJson(response));
    const text = this.hide(
      toJson({
        method,
        request: withoutDefaults(JSON.parse(toJson(request))),
        status,
        result: status === 'OK' ? resultOf(method, plain) : plain,
        madeId: status === 'OK' ? madeIdOf(method, plain) : undefined,
      }),
    );
    // kubelet asks for the same status many times.
    if (/Status$/.test(method) && this.#seen.has(text)) return;
    this.#seen.add(text);
    this.#calls.push({ begun, call: JSON.parse(text) as RecordedCall });
  }
}

/** GetContainerEvents and the streamed lists pass through. */
const stream =
  (call: Method) =>
  (request: unknown, { signal }: CallContext) =>
    call(request, { signal }) as AsyncIterable<unknown>;

/** A message without fields that have what is meant anyway. Elements of lists stay. */
function withoutDefaults(message: unknown): unknown {
  if (Array.isArray(message)) return message.map(withoutDefaults);
  if (typeof message !== 'object' || message == null) return message;
  const isDefault = (part: unknown): boolean =>
    ['', '0n', 0, false, null, undefined].includes(part as string) ||
    (Array.isArray(part) && part.length === 0);
  return Object.fromEntries(
    Object.entries(message)
      .filter(([, part]) => !isDefault(part))
      .map(([key, part]) => [key, withoutDefaults(part)]),
  );
}
