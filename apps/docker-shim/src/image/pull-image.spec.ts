import { AuthConfig } from '@stowage/cri-proto';
import { DeadlineExceededError } from '@stowage/errors';
import { eventually, FakeEngine } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EngineConnection } from '../engine/engine-connection';
import { ListImages } from './list-images';
import { pinnedImages } from './pinned-images';
import { loginOf, PullImage } from './pull-image';
import { pullFailure } from './pull-failure';

const password = 'p@ssword/of+ours';
const auth = (fields: Partial<AuthConfig>) => AuthConfig.fromPartial(fields);

describe('PullImage on an engine with faults', () => {
  let folder: string;
  let fake: FakeEngine;
  let connection: EngineConnection;
  let stalled: number;
  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'pull-image-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
    await fake.start();
    connection = new EngineConnection({ socketPath: fake.socketPath, timeoutMs: 30_000 });
    await eventually(() => connection.availability().available);
    stalled = 0;
  });
  afterEach(async () => {
    await connection.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const puller = (deadlineMs: number) =>
    new PullImage(connection, deadlineMs, {
      downloaded: () => undefined,
      pulled: () => undefined,
      stalled: () => (stalled += 1),
    });
  const { signal } = new AbortController();
  const image = {
    image: 'reg.example/a:1',
    annotations: {},
    userSpecifiedImage: '',
    runtimeHandler: '',
    imageRef: '',
  };

  /** Answers pulls with these messages, one each `everyMs`, then with the end or with silence. */
  const answerPulls = (messages: readonly object[], everyMs: number, end: 'end' | 'silence') => {
    const seen = { cut: false };
    fake.answer = ({ path: asked }, response) => {
      if (asked.startsWith('/images/reg.example')) {
        response.end(JSON.stringify({ Id: 'sha256:feed' }));
        return true;
      }
      if (asked !== '/images/create') return false;
      const left = [...messages];
      const timer = setInterval(() => {
        const next = left.shift();
        if (next !== undefined) response.write(`${JSON.stringify(next)}\n`);
        else if (end === 'end') response.end();
      }, everyMs);
      response.on('close', () => {
        clearInterval(timer);
        seen.cut = true;
      });
      return true;
    };
    return seen;
  };

  // D07
  it('lets a pull go on as long as a layer changes, unpacking included', async () => {
    const extracting = Array.from({ length: 12 }, (_, index) => ({
      id: 'a1b2',
      status: 'Extracting',
      progressDetail: { current: index + 1, total: 20 },
    }));
    answerPulls(extracting, 60, 'end');
    const pull = puller(250);
    const done = pull.pull({ image, auth: undefined }, { signal });
    await eventually(() => pull.running().length === 1);
    expect(pull.running()[0]?.reference).toBe('reg.example/a:1');
    expect(await done).toBe('sha256:feed');
    expect([pull.running(), stalled]).toEqual([[], 0]);
  });

  it.each([
    ['says nothing at all', [], 'the registry has not answered'],
    [
      'goes silent',
      [{ id: 'a1b2', status: 'Extracting', progressDetail: { current: 5, total: 9 } }],
      'a1b2: Extracting 5 bytes',
    ],
    [
      'says the same again and again',
      Array.from({ length: 100 }, () => ({ id: 'a1b2', status: 'Waiting' })),
      'a1b2: Waiting',
    ],
  ])('ends a pull that %s, and says where it stood', async (_how, messages, state) => {
    const seen = answerPulls(messages, 20, 'silence');
    await expect(puller(200).pull({ image, auth: undefined }, { signal })).rejects.toEqual(
      new DeadlineExceededError(`progress of the pull of reg.example/a:1 (${state})`, 200),
    );
    await eventually(() => seen.cut);
    expect(stalled).toBe(1);
  });

  it('ends the pull with the call that wanted it', async () => {
    const seen = answerPulls([{ id: 'a', status: 'Waiting' }], 10, 'silence');
    const caller = new AbortController();
    const pull = puller(0).pull({ image, auth: undefined }, { signal: caller.signal });
    const reason = new Error('cancelled');
    setTimeout(() => caller.abort(reason), 50);
    await expect(pull).rejects.toBe(reason);
    await eventually(() => seen.cut);
    expect(stalled).toBe(0);
  });

  it.each([
    { errorDetail: { message: `denied: Basic ${password}` } },
    { error: `denied: ${password}` },
  ])('takes an error among the messages for a failure, without the secret: %j', async (message) => {
    answerPulls([{ status: 'Pulling' }, message], 5, 'end');
    const error = (await puller(0)
      .pull({ image, auth: auth({ username: 'u', password }) }, { signal })
      .catch((reason: unknown) => reason)) as Error & { grpcStatus: string };
    expect(error.grpcStatus).toBe('PERMISSION_DENIED');
    expect(error.message).not.toContain(password);
  });

  // D10
  it('lists images of an engine that leaves fields out, each id once', async () => {
    fake.answer = ({ path: asked }, response) => {
      if (!asked.startsWith('/images/')) return false;
      const body = asked.endsWith('/images/json')
        ? [
            { Id: 'sha256:aa', RepoTags: null, RepoDigests: ['<none>@<none>'], Size: 7 },
            { Id: 'sha256:bb', RepoTags: ['a:1', '<none>:<none>'], Size: 5 },
            { Id: 'sha256:bb', RepoTags: ['a:2'], RepoDigests: ['a@sha256:cc'], Size: 6 },
            { RepoTags: ['no-id:1'] },
          ]
        : { Id: asked.slice(8), Config: asked.includes('aa') ? { User: 'web:5' } : null };
      response.end(JSON.stringify(body));
      return true;
    };
    const lister = new ListImages(
      connection,
      pinnedImages({ pinnedImages: ['a:*'], pinnedImageLabels: [], sandboxImage: '' }),
    );
    const listed = async () =>
      (await lister.list(undefined, { signal })).map((one) => ({ ...one, spec: undefined }));
    expect(await listed()).toMatchObject([
      { id: 'sha256:aa', repoTags: [], repoDigests: [], size: 7n, username: 'web', pinned: false },
      {
        id: 'sha256:bb',
        repoTags: ['a:1', 'a:2'],
        repoDigests: ['a@sha256:cc'],
        size: 6n,
        pinned: true,
      },
    ]);
    const before = fake.requests.length;
    await listed();
    // The users are known by now.
    expect(fake.requests.slice(before).map(({ path: asked }) => asked)).toEqual(['/images/json']);
  });
});

describe('loginOf', () => {
  it.each([
    [auth({}), undefined],
    [auth({ username: 'u', password: 'p' }), { username: 'u', password: 'p' }],
    [auth({ auth: 'dTpwOnE=' }), { username: 'u', password: 'p:q' }],
    [auth({ username: 'a', password: 'b', auth: 'dTpw' }), { username: 'a', password: 'b' }],
    [auth({ identityToken: 'i', registryToken: 'r' }), { identitytoken: 'i', registrytoken: 'r' }],
    [auth({ username: 'u', serverAddress: 's' }), { username: 'u', serveraddress: 's' }],
  ])('reads %j', (given, login) => {
    expect(loginOf(given)).toEqual(login);
  });
});

describe('pullFailure', () => {
  it.each([
    ['manifest for reg/a:1 not found: manifest unknown: manifest unknown', 'NOT_FOUND', ''],
    [
      'pull access denied for a, repository does not exist or may require docker login',
      'PERMISSION_DENIED',
      '',
    ],
    ['Head "http://reg/v2/a/manifests/1": no basic auth credentials', 'PERMISSION_DENIED', ''],
    [
      'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
      'UNAVAILABLE',
      'RegistryUnavailable: ',
    ],
    [
      'Get "https://reg/v2/": dial tcp: lookup reg: no such host',
      'UNAVAILABLE',
      'RegistryUnavailable: ',
    ],
    [
      'received unexpected HTTP status: 503 Service Unavailable',
      'UNAVAILABLE',
      'RegistryUnavailable: ',
    ],
    ['write /var/lib/docker/tmp/x: no space left on device', 'RESOURCE_EXHAUSTED', ''],
    ['image signature verification failed', 'UNKNOWN', 'SignatureValidationFailed: '],
    ['something else', 'UNKNOWN', ''],
  ])('"%s" is %s', (text, grpcStatus, word) => {
    expect(pullFailure(text)).toMatchObject({ grpcStatus, message: word + text });
  });
});
