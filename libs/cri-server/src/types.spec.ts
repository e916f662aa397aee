import {
  ContainerEventResponse,
  RuntimeServiceDefinition,
  VersionResponse,
} from '@stowage/cri-proto';
import { criHandlers, type CriStreamCall, type Implementation } from './index';

type Runtime = Implementation<typeof RuntimeServiceDefinition>;

const version = VersionResponse.fromPartial({ version: '0.1.0' });
const event = ContainerEventResponse.fromPartial({ containerId: 'a' });

/** Held against the compiler: an implementation of another shape is an error there. */
const wrong: Runtime[] = [
  // @ts-expect-error: there is no such method
  { versions: () => Promise.resolve(version) },
  // @ts-expect-error: the answer of another method
  { version: () => Promise.resolve(event) },
  // @ts-expect-error: fields are missing
  { version: () => Promise.resolve({ version: '0.1.0' }) },
  // @ts-expect-error: no promise
  { version: () => version },
  // @ts-expect-error: one answer where there is a stream
  { getContainerEvents: () => Promise.resolve(event) },
  // @ts-expect-error: a stream of another method
  { getContainerEvents: () => answers(version) },
  // @ts-expect-error: a stream where there is one answer
  { version: () => answers(version) },
  // @ts-expect-error: a field that the request does not have
  { version: (request) => Promise.resolve({ ...version, version: request.name }) },
  // @ts-expect-error: unary calls cannot be failed from beside
  { version: (_request: object, call: CriStreamCall) => failing(call) },
];

async function* answers<T>(message: T): AsyncGenerator<T> {
  yield await Promise.resolve(message);
}

function failing(call: CriStreamCall): Promise<VersionResponse> {
  call.fail(new Error('x'));
  return Promise.resolve(version);
}

describe('an implementation of a CRI service', () => {
  it('gives a handler for each method it has, by its path in v1', () => {
    const right: Runtime = {
      version: (request, call) =>
        Promise.resolve({ ...version, version: `${request.version} ${call.method}` }),
      getContainerEvents: (_request, call) => {
        call.signal.addEventListener('abort', () => call.fail(call.signal.reason));
        return answers(event);
      },
    };
    expect(Object.keys(criHandlers(RuntimeServiceDefinition, right))).toEqual([
      '/runtime.v1.RuntimeService/Version',
      '/runtime.v1.RuntimeService/GetContainerEvents',
    ]);
  });

  it('has no handler for what the service does not know', () => {
    const untyped = wrong[0] ?? {};
    expect(criHandlers(RuntimeServiceDefinition, untyped)).toEqual({});
  });
});
