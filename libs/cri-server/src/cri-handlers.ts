import type { LocalHandler, StreamCall, StreamHandler, UnaryHandler } from '@stowage/cri-endpoint';
import { methodPath } from '@stowage/cri-proto/paths';
import { decodeRequest } from './decode-request';
import { inServerSpan } from './in-server-span';
import type {
  CriCall,
  CriMethod,
  CriServiceDefinition,
  CriStreamCall,
  Implementation,
} from './types';

type AnyUnary = (request: unknown, call: CriCall) => Promise<unknown>;
type AnyStream = (request: unknown, call: CriStreamCall) => AsyncIterable<unknown>;

/**
 * Handlers for a terminating endpoint from the implementation of a CRI service: they decode
 * requests, encode answers and open a span for each call. Methods that `implementation` leaves out
 * have no handler.
 */
export function criHandlers<Definition extends CriServiceDefinition>(
  definition: Definition,
  implementation: Implementation<Definition>,
): Readonly<Record<string, LocalHandler>> {
  const methods = implementation as Readonly<Record<string, (AnyUnary & AnyStream) | undefined>>;
  const handlers: Record<string, LocalHandler> = {};
  for (const [name, method] of Object.entries(definition.methods)) {
    // An implementation may be an object of a class.
    const handle = methods[name]?.bind(implementation);
    if (handle === undefined) continue;
    handlers[methodPath(definition.name, method.name)] = method.responseStream
      ? streamHandler(method, handle as AnyStream)
      : unaryHandler(method, handle as AnyUnary);
  }
  return handlers;
}

function unaryHandler(method: CriMethod, handle: AnyUnary): UnaryHandler {
  return (bytes, call) =>
    inServerSpan(call, async (trace) => {
      const request = decodeRequest(method, bytes);
      const response = await handle(request, { ...call, trace });
      return method.responseType.encode(response).finish();
    });
}

function streamHandler(method: CriMethod, handle: AnyStream): StreamHandler {
  return {
    stream: (bytes, call) =>
      inServerSpan(call, async (trace) => {
        const request = decodeRequest(method, bytes);
        const { send, ...known } = call;
        const encode = (message: unknown) => method.responseType.encode(message).finish();
        await sendAll(
          handle(request, { ...known, trace }),
          (message) => send(encode(message)),
          call,
        );
      }),
  };
}

/**
 * Sends what an iterable yields, one at a time. However the call ends, the iterable's `return` is
 * called.
 */
async function sendAll(
  messages: AsyncIterable<unknown>,
  send: (message: unknown) => Promise<void>,
  { signal }: Pick<StreamCall, 'signal'>,
): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]();
  const release = (): void => {
    // A waiting generator notices this at its next yield, other iterators at once.
    void new Promise((resolve) => resolve(iterator.return?.())).catch(() => undefined);
  };
  signal.addEventListener('abort', release, { once: true });
  try {
    for await (const message of { [Symbol.asyncIterator]: () => iterator }) await send(message);
  } finally {
    signal.removeEventListener('abort', release);
    // The reason says more than what the implementation makes of it.
    signal.throwIfAborted();
  }
}
