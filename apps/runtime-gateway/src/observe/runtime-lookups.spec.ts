import { CriError } from '@stowage/cri-client';
import {
  ContainerStatusResponse,
  ListContainersResponse,
  ListPodSandboxResponse,
} from '@stowage/cri-proto';
import { eventuallyPasses } from '@stowage/testing';
import { RuntimeLookups } from './runtime-lookups';
import type { FactCalls } from './runtime-lookups';

const limits = { atOnce: 2, stoppedAtOnce: 2, waiting: 2, timeoutMs: 3_600_000 };

function runtime(overrides: Partial<FactCalls> = {}): FactCalls {
  return {
    whenAvailable: () => Promise.resolve(),
    containerStatus: (request) =>
      Promise.resolve(
        ContainerStatusResponse.fromPartial({ status: { id: request?.containerId } }),
      ),
    listContainers: () => Promise.resolve(ListContainersResponse.fromPartial({})),
    listPodSandbox: () => Promise.resolve(ListPodSandboxResponse.fromPartial({})),
    ...overrides,
  };
}

const lookups = (calls: FactCalls, more: Partial<typeof limits> = {}) => {
  const over = new AbortController();
  return { lookUp: new RuntimeLookups(calls, over.signal, { ...limits, ...more }), over };
};

/** Rejects when the call is given up, and never ends else. */
const hanging: FactCalls['containerStatus'] = (_request, options) =>
  new Promise((_resolve, reject) => {
    options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error));
  });

test('a container that the runtime does not know is undefined, other errors are thrown', async () => {
  const failing = (status: 'NOT_FOUND' | 'INTERNAL') =>
    lookups(
      runtime({
        containerStatus: () => Promise.reject(new CriError('ContainerStatus', status, 'no')),
      }),
    ).lookUp;
  await expect(failing('NOT_FOUND').containerStatus('c1')).resolves.toBeUndefined();
  await expect(failing('INTERNAL').containerStatus('c1')).rejects.toThrow('no');
});

test.each([
  ['the same id', ['abc', 'abcd'], 'abc', 'abc'],
  ['the only id that begins so', ['abcd'], 'abc', 'abcd'],
  ['none of several that begin so', ['abcd', 'abce'], 'abc', undefined],
  ['none of a runtime that ignores the filter', ['x', 'y'], 'abc', undefined],
])('lists find %s', async (_what, listed, asked, found) => {
  const { lookUp } = lookups(
    runtime({
      listContainers: () =>
        Promise.resolve(
          ListContainersResponse.fromPartial({ containers: listed.map((id) => ({ id })) }),
        ),
      listPodSandbox: () =>
        Promise.resolve(
          ListPodSandboxResponse.fromPartial({ items: listed.map((id) => ({ id })) }),
        ),
    }),
  );
  expect((await lookUp.container(asked))?.id).toBe(found);
  expect((await lookUp.sandbox(asked))?.id).toBe(found);
});

test('as many as allowed run at once, a bounded number waits, the rest is refused', async () => {
  const asked: string[] = [];
  const { lookUp, over } = lookups(
    runtime({
      containerStatus: (request, options) => {
        asked.push(String(request?.containerId));
        return hanging(request, options);
      },
    }),
  );
  const all = ['1', '2', '3', '4', '5'].map((id) =>
    lookUp.containerStatus(id).catch((error: unknown) => (error as Error).message),
  );
  expect(await all[4]).toBe('queue of runtime lookups is full: limit 4');
  expect(asked).toEqual(['1', '2']);
  over.abort(new Error('over'));
  expect(await Promise.all(all.slice(0, 4))).toEqual(['over', 'over', 'over', 'over']);
  expect(asked).toEqual(['1', '2']);
});

test('containers that were stopped do not wait for other lookups', async () => {
  const asked: string[] = [];
  const { lookUp, over } = lookups(
    runtime({
      containerStatus: (request, options) => {
        asked.push(String(request?.containerId));
        return hanging(request, options);
      },
    }),
  );
  const all = [
    ...['1', '2', '3', '4'].map((id) => lookUp.containerStatus(id)),
    lookUp.stoppedStatus('stopped'),
  ];
  const ends = Promise.allSettled(all);
  await eventuallyPasses(() => expect(asked).toEqual(['1', '2', 'stopped']));
  over.abort(new Error('over'));
  expect((await ends).map(({ status }) => status)).toEqual(Array(5).fill('rejected'));
});

test('a lookup ends after its time, the wait for a runtime that is away included', async () => {
  const away = lookups(
    runtime({
      whenAvailable: (options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error));
        }),
    }),
    { timeoutMs: 5 },
  );
  await expect(away.lookUp.containerStatus('c1')).rejects.toThrow(
    'runtime lookup timed out after 5 ms',
  );
  const slow = lookups(runtime({ containerStatus: hanging }), { timeoutMs: 5 });
  await expect(slow.lookUp.containerStatus('c1')).rejects.toMatchObject({
    grpcStatus: 'DEADLINE_EXCEEDED',
  });
});
