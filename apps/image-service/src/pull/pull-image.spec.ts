import { PullImageRequest, type DeepPartial } from '@stowage/cri-proto';
import { anonymous, type NodeCredentials, type PullCredential } from '../credentials/credentials';
import { PullImage } from './pull-image';
import type { FailedPull, Pull, PulledImage } from './pull';
import type { PullJournal } from './pull-journal';
import { ImagePullRecords } from '../records/image-pull-records';
import { MemoryRecordStore } from '../testing/memory-record-store';
import { RecordedPull } from '../records/recorded-pull';
import { FakeRuntime } from '../testing/fake-runtime';

const never = new AbortController().signal;

function harness(credentials: PullCredential[] = [], node: Partial<NodeCredentials> = {}) {
  const runtime = new FakeRuntime();
  const reported: string[] = [];
  const started: Pull[] = [];
  const succeeded: PulledImage[] = [];
  const failed: FailedPull[] = [];
  const asked: string[] = [];
  let ids = 0;
  const journaled: string[] = [];
  const journal: PullJournal = {
    began: ({ id }) => journaled.push(`began ${id}`),
    answered: ({ id }, { response }) => journaled.push(`answered ${id} ${response.imageRef}`),
    end: ({ id }, publish) => {
      const before = reported.length;
      publish();
      journaled.push(`ended ${id}: ${reported.slice(before).join()}`);
    },
  };
  const puller = new PullImage({
    runtime,
    node: {
      forRepository: (repository) => {
        asked.push(repository);
        return Promise.resolve(credentials);
      },
      ...node,
    },
    hashOf: (auth) => `hash-of-${auth.username ?? auth.identityToken ?? ''}`,
    listener: {
      started: (pull) => {
        reported.push(`started ${pull.id}`);
        started.push(pull);
      },
      attempted: ({ source }, result) => reported.push(`attempt ${source} ${result}`),
      succeeded: (pull, pulled) => {
        reported.push(`succeeded ${pull.id}`);
        succeeded.push(pulled);
      },
      failed: (pull, failure) => {
        reported.push(`failed ${pull.id} ${failure.errorClass}`);
        failed.push(failure);
      },
      joined: () => reported.push('joined'),
    },
    journal,
    newId: () => `p${String(++ids)}`,
  });
  const pull = (request: DeepPartial<PullImageRequest>, signal: AbortSignal = never) =>
    puller.pull(PullImageRequest.fromPartial(request), { signal });
  /** As `pull`, until its end has been published as well. */
  const pullAndPublish = async (request: DeepPartial<PullImageRequest>) => {
    const outcome = await pull(request);
    await outcome.value.image;
    return outcome;
  };
  return {
    runtime,
    puller,
    reported,
    started,
    succeeded,
    failed,
    asked,
    pull,
    pullAndPublish,
    journaled,
  };
}

/** Lets promises that are ready go on. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('PullImage', () => {
  it('hands the request on with the credential, and reports id, size and attempts', async () => {
    const { runtime, pullAndPublish, reported, started, succeeded, asked } = harness();
    const image = runtime.add({ id: 'sha256:1', repoTags: ['reg.io/app:1'], size: 5000n });
    runtime.onPull = ({ succeed }) => succeed('sha256:1');
    const { value } = await pullAndPublish({
      image: { image: 'reg.io/app:1', annotations: { a: 'b' } },
      sandboxConfig: { metadata: { namespace: 'n', name: 'p', uid: 'u' } },
    });
    expect(runtime.pulls[0]?.request).toMatchObject({
      image: { image: 'reg.io/app:1', annotations: { a: 'b' } },
      auth: undefined,
      sandboxConfig: { metadata: { name: 'p' } },
    });
    expect(asked).toEqual(['reg.io/app']);
    // This runtime answers within the turn in which it is asked.
    expect(reported).toEqual(['attempt none success', 'started p1', 'succeeded p1']);
    expect(started[0]).toMatchObject({
      requestedReference: 'reg.io/app:1',
      reference: 'reg.io/app:1',
      pod: { namespace: 'n', name: 'p', uid: 'u' },
    });
    expect(succeeded[0]).toMatchObject({ image, attempts: 1, credential: anonymous.label });
    expect(value.response.imageRef).toBe('sha256:1');
  });

  it("asks the node for the normalised repository, and takes the request's auth before it", async () => {
    const { runtime, pullAndPublish, asked, succeeded } = harness([
      { label: { source: 'docker-config' } },
    ]);
    runtime.onPull = ({ succeed }) => succeed('x');
    await pullAndPublish({ image: { image: 'nginx' } });
    expect(asked).toEqual(['docker.io/library/nginx']);
    await pullAndPublish({
      image: { image: 'nginx' },
      auth: { identityToken: 't', username: '<token>' },
    });
    expect(runtime.pulls[1]?.request.auth).toEqual({ identityToken: 't', username: '<token>' });
    expect(succeeded[1]?.credential).toEqual({ source: 'request', hash: 'hash-of-<token>' });
    expect(asked).toHaveLength(1);
  });

  it('says what is going on: in which state, since when, and who waits', async () => {
    const { runtime, puller, pull } = harness([
      { label: { source: 'docker-config' } },
      { label: { source: 'none' } },
    ]);
    const began = Date.now();
    const leaving = new AbortController();
    const pod = { namespace: 'n', name: 'p', uid: 'u' };
    const first = pull({ image: { image: 'reg.io/app:1' }, sandboxConfig: { metadata: pod } });
    while (puller.inProgress().length === 0) await Promise.resolve();
    expect(puller.inProgress()).toMatchObject([{ pull: { id: 'p1' }, attempts: 0 }]);
    expect(puller.inProgress()[0]).toHaveProperty('startedAt', undefined);
    await turn();
    const second = pull({ image: { image: 'reg.io/app:1' } }, leaving.signal);
    const third = puller.pull(PullImageRequest.fromPartial({ image: { image: 'reg.io/app:1' } }), {
      ...{ signal: never, by: 'command', caller: 'pod-7' },
    });
    await turn();
    const [one, ...none] = puller.inProgress();
    expect(none).toEqual([]);
    expect(one?.since.getTime()).toBeGreaterThanOrEqual(began);
    expect(one?.startedAt).toBeInstanceOf(Date);
    expect(one?.waiters).toMatchObject([
      { since: expect.any(Date), by: 'cri', pod },
      { since: expect.any(Date), by: 'cri' },
      { since: expect.any(Date), by: 'command', caller: 'pod-7' },
    ]);
    leaving.abort(new Error('left'));
    await expect(second).rejects.toThrow('left');
    expect(puller.inProgress()[0]?.waiters).toHaveLength(2);
    runtime.pulls[0]?.fail(new Error('unauthorized'));
    await turn();
    expect(puller.inProgress()).toMatchObject([{ attempts: 1 }]);
    runtime.pulls[1]?.succeed('x');
    await Promise.all([first, third]);
    expect(puller.inProgress()).toEqual([]);
  });

  it('reports a pull whose size the runtime will not say', async () => {
    const { runtime, pullAndPublish, succeeded } = harness();
    runtime.onPull = ({ succeed }) => succeed('x');
    runtime.statusError = new Error('busy');
    await pullAndPublish({ image: { image: 'nginx' } });
    expect(succeeded[0]?.image).toBeUndefined();
  });

  it.each([
    ['', 'image.image: "" is not allowed; allowed: an image reference'],
    [
      'reg.io/Alpine:3',
      'image reference "reg.io/Alpine:3" is not valid: the repository path "Alpine" has upper-case characters',
    ],
    [
      `a/${'b'.repeat(5000)}`,
      `image reference "a/${'b'.repeat(253)}… (5004 characters) is not valid: it has 5002 characters; allowed: at most 4096`,
    ],
  ])('refuses the reference %.10s with INVALID_ARGUMENT and the rule', async (image, message) => {
    const { runtime, pull, reported, failed } = harness();
    await expect(pull({ image: { image } })).rejects.toMatchObject({
      message,
      grpcStatus: 'INVALID_ARGUMENT',
    });
    expect(runtime.pulls).toHaveLength(0);
    expect(reported).toEqual(['failed p1 invalid-reference']);
    expect(failed[0]).toMatchObject({ attempts: 0 });
  });

  it('says UNAVAILABLE since when while the runtime is away, without a started pull', async () => {
    const { runtime, pull, reported } = harness();
    runtime.available = false;
    await expect(pull({ image: { image: 'nginx' } })).rejects.toMatchObject({
      grpcStatus: 'UNAVAILABLE',
      message:
        'container runtime at unix:///run/fake.sock is unavailable since 1970-01-01T00:00:00.000Z: connect ENOENT /run/fake.sock',
    });
    expect(reported).toEqual(['failed p1 runtime-unavailable']);
  });

  it('hands all fields of an AuthConfig to the runtime, kubelet fills only two', async () => {
    const { runtime, pull } = harness();
    runtime.onPull = ({ succeed }) => succeed('x');
    const auth = {
      username: 'u',
      password: 'p',
      auth: 'dTpw',
      serverAddress: 'https://reg.io',
      identityToken: 'i',
      registryToken: 'r',
    };
    await pull({ image: { image: 'reg.io/app:1' }, auth });
    expect(runtime.pulls[0]?.request.auth).toEqual(auth);
  });

  it('reports a failed pull with every credential that was tried', async () => {
    const { runtime, pull, reported, failed } = harness([
      { label: { source: 'docker-config', name: '/a' }, auth: { username: 'a' } },
      { label: { source: 'docker-config', name: '/b' }, auth: { username: 'b' } },
    ]);
    runtime.onPull = ({ fail }) =>
      fail(Object.assign(new Error('401 Unauthorized'), { grpcStatus: 'UNKNOWN' }));
    await expect(pull({ image: { image: 'reg.io/app:1' } })).rejects.toThrow(
      '401 Unauthorized [tried: docker-config /a: unauthorized; docker-config /b: unauthorized]',
    );
    expect(reported.at(-1)).toBe('failed p1 unauthorized');
    expect(failed[0]).toMatchObject({
      attempts: 2,
      credentials: [
        { name: '/a', result: 'unauthorized' },
        { name: '/b', result: 'unauthorized' },
      ],
    });
  });

  it('lets callers of one image and credential share one pull, reported once', async () => {
    const { runtime, puller, pull, reported } = harness();
    const callers = [
      pull({ image: { image: 'nginx' } }),
      pull({ image: { image: 'nginx:latest' } }),
      pull({ image: { image: 'nginx' }, auth: { username: 'u', password: 'p' } }),
      pull({ image: { image: 'nginx:1' } }),
      pull({ image: { image: 'nginx', runtimeHandler: 'kata' } }),
    ];
    await turn();
    expect(runtime.pulls).toHaveLength(4);
    for (const { succeed } of runtime.pulls) succeed('x');
    const outcomes = await Promise.all(callers);
    expect(outcomes.map(({ joined }) => joined)).toEqual([false, true, false, false, false]);
    await puller.settled();
    expect(reported.filter((text) => text.startsWith('succeeded'))).toHaveLength(4);
    expect(reported.filter((text) => text === 'joined')).toHaveLength(1);
  });

  it('never lets a pod share the pull that the secret of another namespace brings', async () => {
    const secret = (namespace: string): PullCredential => ({
      label: { source: 'kubernetes-secret', name: `${namespace}/registry` },
      auth: { username: namespace },
      owner: { secret: { uid: '', namespace, name: 'registry', credentialHash: namespace } },
    });
    const { runtime, puller } = harness([], {
      dividesNamespaces: true,
      forRepository: (_repository, { namespace }) =>
        Promise.resolve(namespace === 'shop' ? [secret(namespace)] : []),
    });
    const store = new MemoryRecordStore();
    const records = new ImagePullRecords(store, () => true);
    const recorded = new RecordedPull(puller, records);
    const pull = (namespace?: string) =>
      recorded.pull(
        PullImageRequest.fromPartial({
          image: { image: 'reg.io/app:1' },
          sandboxConfig: namespace === undefined ? undefined : { metadata: { namespace } },
        }),
        { signal: never },
      );
    const settled = Promise.allSettled([pull('shop'), pull('bank'), pull(), pull('shop')]);
    await turn();
    expect(runtime.pulls.map(({ request }) => request.auth?.username)).toEqual([
      'shop',
      undefined,
      undefined,
    ]);
    const [shop, ...others] = runtime.pulls;
    shop?.succeed('sha256:1');
    for (const { fail } of others) fail(new Error('401 Unauthorized'));
    expect((await settled).map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'fulfilled',
    ]);
    expect(store.pulledRecord('sha256:1')?.credentialMapping).toEqual({
      'reg.io/app': {
        nodePodsAccessible: false,
        kubernetesSecrets: [secret('shop').owner?.secret],
        kubernetesServiceAccounts: [],
      },
    });
  });

  it('lets pods of all namespaces share a pull where the namespace changes no credential', async () => {
    const { runtime, pull } = harness();
    const of = (namespace: string) =>
      pull({ image: { image: 'nginx' }, sandboxConfig: { metadata: { namespace } } });
    const both = [of('shop'), of('bank')];
    await turn();
    expect(runtime.pulls).toHaveLength(1);
    runtime.pulls[0]?.succeed('sha256:1');
    expect((await Promise.all(both)).map(({ joined }) => joined)).toEqual([false, true]);
  });

  it("cancels the runtime's pull when the last caller gives up, and reports it", async () => {
    const { runtime, puller, pull, reported } = harness();
    const [a, b] = [new AbortController(), new AbortController()];
    const first = pull({ image: { image: 'nginx' } }, a.signal);
    const second = pull({ image: { image: 'nginx' } }, b.signal);
    await turn();
    a.abort(new DOMException('gone', 'AbortError'));
    await expect(first).rejects.toThrow('gone');
    expect(runtime.pulls[0]?.signal.aborted).toBe(false);
    b.abort(new DOMException('gone too', 'AbortError'));
    await expect(second).rejects.toThrow('gone too');
    expect(runtime.pulls[0]?.signal.aborted).toBe(true);
    await puller.settled();
    expect(reported.at(-1)).toBe('failed p1 cancelled');
  });

  it.each([
    [
      'hands the trace of the caller to the runtime',
      '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      true,
    ],
    ['leaves out a trace that is none', '00-a-b-01', false],
  ])('%s', async (_what, traceparent, isTrace) => {
    const { runtime, puller, started } = harness();
    runtime.onPull = ({ succeed }) => succeed('x');
    await puller.pull(PullImageRequest.fromPartial({ image: { image: 'nginx' } }), {
      signal: never,
      trace: { traceparent },
    });
    expect(runtime.pulls[0]?.headers).toEqual(isTrace ? { traceparent } : {});
    expect(started[0]?.traceparent).toBe(isTrace ? traceparent : undefined);
  });

  it('answers without waiting for the size, which the reports wait for', async () => {
    const { runtime, puller, pull, reported, journaled } = harness();
    runtime.onPull = ({ succeed }) => succeed('sha256:1');
    let answer: () => void = () => undefined;
    const wait = new Promise<void>((resolve) => (answer = resolve));
    const { imageStatus } = runtime;
    runtime.imageStatus = (...call) => wait.then(() => imageStatus(...call));
    const { value } = await pull({ image: { image: 'nginx' } });
    expect(value.response.imageRef).toBe('sha256:1');
    let isPublished = false;
    const all = puller.published().then(() => (isPublished = true));
    await turn();
    await turn();
    expect(reported).toEqual(['attempt none success', 'started p1']);
    expect(journaled).toEqual(['began p1', 'answered p1 sha256:1']);
    expect(isPublished).toBe(false);
    answer();
    await all;
    expect(reported.at(-1)).toBe('succeeded p1');
    expect(journaled.at(-1)).toBe('ended p1: succeeded p1');
  });

  it('leaves the runtime alone until the answers of all who share the pull have left', async () => {
    const { runtime, puller, reported } = harness();
    let asked = 0;
    const { imageStatus } = runtime;
    runtime.imageStatus = (...call) => (asked++, imageStatus(...call));
    const leave: (() => void)[] = [];
    const callers = ['nginx', 'nginx:latest'].map((image) =>
      puller.pull(PullImageRequest.fromPartial({ image: { image } }), {
        signal: never,
        answered: new Promise((resolve) => leave.push(resolve)),
      }),
    );
    await turn();
    runtime.pulls[0]?.succeed('x');
    await Promise.all(callers);
    leave[0]?.();
    for (let turns = 0; turns < 10; turns++) await turn();
    expect(asked).toBe(0);
    leave[1]?.();
    await puller.published();
    expect([asked, reported.at(-1)]).toEqual([1, 'succeeded p1']);
  });

  it('notes in the journal that a pull failed, when that is reported', async () => {
    const { runtime, pull, journaled } = harness();
    runtime.onPull = ({ fail }) => fail(new Error('404 Not Found'));
    await expect(pull({ image: { image: 'nginx' } })).rejects.toThrow('404');
    expect(journaled).toEqual(['began p1', 'ended p1: failed p1 not-found']);
  });

  it('reports the ends that an earlier run left out, and asks the runtime once it is there', async () => {
    const { runtime, puller, reported, failed, succeeded, journaled } = harness();
    const image = runtime.add({ id: 'sha256:1', size: 7n });
    let isThere: () => void = () => undefined;
    runtime.whenAvailable = () => new Promise((resolve) => (isThere = resolve));
    const left = (id: string) => ({
      pull: { id, requestedReference: 'nginx', reference: 'docker.io/library/nginx:latest' },
      startedAt: new Date(Date.now() - 5000),
    });
    const answer = {
      response: { imageRef: 'sha256:1' },
      endedAt: new Date(5),
      credential: anonymous.label,
      attempts: 1,
      durationMs: 9,
      waitedMs: 0,
    };
    const done = puller.reportUnfinished([{ ...left('a'), answer }, left('b')], never);
    await turn();
    expect(reported).toEqual(['failed b cancelled']);
    expect(failed[0]?.error).toMatchObject({
      message:
        'image-service ended before the runtime answered; the image may have come all the same',
      grpcStatus: 'ABORTED',
    });
    expect(failed[0]?.durationMs).toBeGreaterThanOrEqual(5000);
    isThere();
    await done;
    expect(reported.at(-1)).toBe('succeeded a');
    expect(succeeded[0]).toEqual({ ...answer, image });
    expect(journaled).toEqual(['ended b: failed b cancelled', 'ended a: succeeded a']);
  });
});
