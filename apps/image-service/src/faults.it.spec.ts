import { existsSync, mkdirSync, readdirSync, renameSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { imageService } from '@stowage/commands';
import { followLocalCommand, sendLocalCommand } from '@stowage/commands/local';
import { connectImageService } from '@stowage/cri-client';
import {
  eventually,
  eventuallyPasses,
  ServiceFixture,
  testOn,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { FakeRegistry, unauthorized, type RegistryFault } from './testing/fake-registry';
import { ServiceProcess, type EnsureReply } from './testing/service-process';

const mib = 1024 * 1024;
const password = 'pw-Jx81-never-printed';
const rotatedPassword = 'pw-Kz92-never-printed';
const token = 'tok-Lq73-never-printed';

/** For what rests on the progress of a pull. */
const withProgress = testOn(
  'containerd',
  'CRI-O keeps no progress of a pull, so no deadline by it',
);

describe('image-service and what goes wrong', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let service: ServiceProcess;
  let registry: FakeRegistry;
  let events: EventCollection;
  let secretsDir: string;
  let names = 0;

  const ensure = async (input: object, timeoutMs = 60_000) =>
    (await fixture.request('image-service', 'ensure', input, { timeoutMs })) as EnsureReply;

  const env = () => ({
    STOWAGE_PULL_SECRETS_DIR: secretsDir,
    STOWAGE_MAX_PARALLEL_IMAGE_PULLS: '3',
    // Far longer than a busy machine takes for a MiB, which is what containerd counts at once.
    STOWAGE_IMAGE_PULL_PROGRESS_DEADLINE: '6s',
    STOWAGE_IMAGE_PULL_PROGRESS_INTERVAL: '500ms',
    STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'NeverVerifyPreloadedImages',
  });

  const repository = () => `team/image-${++names}`;
  const add = (...layerBytes: number[]) => registry.add(repository(), layerBytes);
  const records = (folder: 'pulling' | 'pulled') =>
    readdirSync(path.join(service.dir, 'state', 'image_manager', folder));

  /** What the runtime is downloading. */
  const ingests = () =>
    readdirSync(
      stack.runtime.name === 'containerd'
        ? path.join(stack.runtime.root, 'io.containerd.content.v1.content', 'ingest')
        : stack.runtime.downloads,
    );

  const nothingStuck = async () => {
    expect(await service.app.metric('stowage_image_pulls_in_flight')).toBe(0);
    expect(await service.app.metric('stowage_image_pulls_waiting')).toBe(0);
    expect(records('pulling')).toEqual([]);
  };

  /** As Kubernetes mounts a secret: replaced at once. */
  const writeSecret = (content: string) => {
    const folder = path.join(secretsDir, 'shop', 'pull');
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, '..new'), content);
    renameSync(path.join(folder, '..new'), path.join(folder, '.dockerconfigjson'));
  };
  const secretFor = (value: string) =>
    JSON.stringify({
      auths: { [registry.host]: { auth: Buffer.from(`u:${value}`).toString('base64') } },
    });

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ filesystemMb: 300 });
    ({ stack, events } = fixture);
    registry = await FakeRegistry.start();
    secretsDir = path.join(stack.dir, 'secrets');
    mkdirSync(secretsDir);
    service = new ServiceProcess(stack, 'faults');
    await service.start({ env: env() });
  });

  afterAll(async () => {
    await service.stop();
    await registry.stop();
    await fixture.down();
  });

  beforeEach(() => {
    registry.fault = () => undefined;
    registry.requests.length = 0;
  });

  it.each<[string, string, RegistryFault, string, RegExp]>([
    ['401', 'manifest', unauthorized, 'unauthorized', /401|authorization failed|unauthorized/],
    ['403', 'manifest', { status: 403 }, 'unauthorized', /403/],
    ['404', 'manifest', { status: 404 }, 'not-found', /not found|404/],
    [
      '429 with Retry-After',
      'manifest',
      { status: 429, headers: { 'retry-after': '1' } },
      'rate-limited',
      /429/,
    ],
    ['500', 'manifest', { status: 500 }, 'registry-unavailable', /500/],
    ['503 for a layer', 'blob', { status: 503 }, 'registry-unavailable', /503/],
    [
      'a cut in the middle of a layer',
      'blob',
      { cutAfter: 4096 },
      'registry-unavailable',
      /EOF|reset/,
    ],
    ['a wrong digest', 'blob', 'wrong-bytes', 'digest-mismatch', /digest|unexpected commit/],
  ])(
    '%s of the registry: distinguished, and over with it',
    async (_what, kind, fault, code, text) => {
      const image = add(300_000);
      registry.fault = (request) => (request.kind === kind ? fault : undefined);
      const reply = await ensure({ image: image.reference, caller: 'a' });
      expect(reply.ok).toBe(false);
      expect(reply.error?.message).toMatch(text);
      expect(reply.error?.message).toMatch(new RegExp(`\\[tried: no credentials: ${code}\\]$`));
      const { data } = await events.waitFor(
        'ImagePullFailed',
        (event) => event.data.reference === image.reference,
      );
      expect(data.error).toMatchObject({ code });
      // The same caller has to wait; as soon as the fault is over another one gets it.
      expect((await ensure({ image: image.reference, caller: 'a' })).error).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        message: expect.stringContaining('Back-off pulling image') as string,
      });
      registry.fault = () => undefined;
      // containerd keeps bad bytes for a while and goes on with them, so that it can fail once
      // more.
      let caller = 0;
      await eventuallyPasses(async () => {
        expect(
          await ensure({ image: image.reference, caller: `other-${String(++caller)}` }),
        ).toMatchObject({
          result: { pulled: true, imageId: stack.runtime.imageIdOf(image.imageId) },
        });
      });
      await nothingStuck();
    },
  );

  withProgress('gives up a registry that hangs, after the deadline without progress', async () => {
    const image = add(300_000);
    registry.fault = ({ kind }) => (kind === 'manifest' ? 'hang' : undefined);
    expect((await ensure({ image: image.reference })).error).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('the pull made no progress for 6000 ms') as string,
    });
    await nothingStuck();
  });

  withProgress('gives up a layer that stops, and not one that is slow', async () => {
    const stalling = add(2 * mib);
    registry.fault = ({ reference }) =>
      reference === stalling.layers[0] ? { stallAfter: mib } : undefined;
    expect((await ensure({ image: stalling.reference })).error?.code).toBe('DEADLINE_EXCEEDED');
    const { data: failed } = await events.waitFor(
      'ImagePullFailed',
      (event) => event.data.reference === stalling.reference,
    );
    expect(failed.error).toMatchObject({ code: 'timeout', grpcStatus: 'DEADLINE_EXCEEDED' });

    const slow = add(4 * mib);
    registry.fault = ({ reference }) =>
      reference === slow.layers[0] ? { bytes: 128 * 1024, everyMs: 250 } : undefined;
    const began = performance.now();
    expect(await ensure({ image: slow.reference })).toMatchObject({ result: { pulled: true } });
    const tookMs = performance.now() - began;
    await events.waitFor('ImagePulled', ({ data }) => data.reference === slow.reference);
    const progress = events
      .named('ImagePullProgress')
      .filter(({ data }) => data.reference === slow.reference)
      .map(({ data }) => data);
    expect(progress.length).toBeGreaterThan(2);
    // One event each 500 ms is allowed.
    expect(progress.length).toBeLessThan(tookMs / 500 + 2);
    const sizes = progress.map(({ bytes }) => bytes);
    expect([...sizes].sort((a, b) => a - b)).toEqual(sizes);
    expect(progress.at(-1)).toMatchObject({ approximate: false, totalBytes: slow.totalBytes });
    expect(progress.at(-1)?.percent).toBeGreaterThan(20);
    // The last one may come when all bytes are there and layers are unpacked.
    const downloading = progress.filter(({ bytes }) => bytes < slow.totalBytes);
    expect(downloading.at(-1)?.remainingMs).toBeGreaterThan(0);
    await nothingStuck();
  });

  withProgress('says of a pull how far it is, layer by layer, and who waits for it', async () => {
    const slow = add(4 * mib, 100_000);
    registry.fault = ({ reference }) =>
      reference === slow.layers[0] ? { bytes: 128 * 1024, everyMs: 250 } : undefined;
    const socketPath = path.join(service.dir, 'image-service.cmd.sock');
    const options = { timeoutMs: 20_000, strict: true };
    const leave = new AbortController();
    const replies = followLocalCommand(
      socketPath,
      imageService.pulls,
      {},
      {
        ...options,
        signal: leave.signal,
      },
    );
    try {
      expect((await replies.next()).value).toEqual({ pulls: [] });
      // Without a pod: its namespace would make it a pull of its own.
      const pulling = service.client.pullImage({ image: { image: slow.reference } });
      const ensuring = ensure({ image: slow.reference, pullPolicy: 'Always', caller: 'deploy-7' });
      const pull = await eventually(async () => {
        const found = await sendLocalCommand(socketPath, imageService.pulls, {}, options);
        const [one] = found.pulls;
        const { bytes = 0, layers } = one?.progress ?? {};
        const isFar = bytes > mib && layers !== undefined;
        return isFar && one?.waiters.length === 2 ? one : undefined;
      });
      expect(pull).toMatchObject({
        ...{ reference: slow.reference, state: 'pulling', attempts: 0 },
        waiters: expect.arrayContaining([
          expect.objectContaining({ by: 'cri' }),
          expect.objectContaining({ by: 'command', caller: 'deploy-7' }),
        ]),
        progress: { totalBytes: slow.totalBytes, approximate: false },
      });
      const layers = pull.progress?.layers ?? [];
      expect(layers).toHaveLength(3);
      const big = layers.find(({ digest }) => digest === slow.layers[0]);
      expect(big?.bytes).toBeGreaterThan(0);
      expect(big?.bytes).toBeLessThan(big?.sizeBytes ?? 0);
      const small = layers.find(({ digest }) => digest === slow.layers[1]);
      expect(small?.bytes).toBeGreaterThan(100_000);
      expect(small?.bytes).toBe(small?.sizeBytes);
      const sum = layers.reduce((bytes, one) => bytes + one.bytes, 0);
      expect(sum).toBe(pull.progress?.bytes);
      // The same as it happened, and its end.
      await Promise.all([pulling, ensuring]);
      const seen: number[] = [];
      for await (const { pulls } of replies) {
        seen.push(pulls.length);
        if (seen.length > 1 && pulls.length === 0) break;
      }
      expect(seen.slice(0, -1).every((count) => count === 1)).toBe(true);
    } finally {
      leave.abort();
    }
    await nothingStuck();
  });

  withProgress('gives up a layer that stops also while other pulls go on', async () => {
    const [stalling, slow] = [add(2 * mib), add(4 * mib)];
    registry.fault = ({ reference }) => {
      if (reference === stalling.layers[0]) return { stallAfter: mib };
      // containerd writes each MiB when it has all of it.
      return reference === slow.layers[0] ? { bytes: 128 * 1024, everyMs: 300 } : undefined;
    };
    const stalled = ensure({ image: stalling.reference });
    await events.waitFor(
      'ImagePullProgress',
      ({ data }) => data.reference === stalling.reference && data.percent !== undefined,
    );
    const others = ensure({ image: slow.reference });
    const first = await Promise.race([stalled, others]);
    expect(first.error?.code).toBe('DEADLINE_EXCEEDED');
    expect(await others).toMatchObject({ result: { pulled: true } });
    await nothingStuck();
  });

  it('takes an identity token, and says unauthorized when it has expired', async () => {
    const [image, later] = [add(100_000), add(100_000)];
    let isValid = true;
    registry.fault = ({ path: asked, authorization }) => {
      if (asked.startsWith('/token')) {
        return isValid
          ? { status: 200, body: JSON.stringify({ access_token: token }) }
          : { status: 401 };
      }
      if (authorization === `Bearer ${token}` && isValid) return undefined;
      const realm = `Bearer realm="http://${registry.host}/token",service="s"`;
      return { status: 401, headers: { 'www-authenticate': realm } };
    };
    const auth = { identityToken: token };
    expect(await ensure({ image: image.reference, auth })).toMatchObject({
      result: { pulled: true },
    });
    isValid = false;
    expect((await ensure({ image: later.reference, auth })).error?.message).toMatch(
      /\[tried: request \(hash [0-9a-f]{12}\): unauthorized\]$/,
    );
  });

  it('takes a secret that is rotated during a pull with the next pull, without a restart', async () => {
    const image = add(mib, 100_000, 100_000, 100_000);
    let accepted = password;
    const isBad = (authorization = '') =>
      authorization !== `Basic ${Buffer.from(`u:${accepted}`).toString('base64')}`;
    registry.fault = ({ kind, reference, authorization }) => {
      if (isBad(authorization)) return unauthorized;
      if (kind !== 'blob') return undefined;
      // Rotated between two requests of one pull.
      if (accepted === password) {
        accepted = rotatedPassword;
        writeSecret(secretFor(rotatedPassword));
      }
      return reference === image.layers[0] ? { bytes: 256 * 1024, everyMs: 100 } : undefined;
    };
    writeSecret(secretFor(password));
    const first = await ensure({
      image: image.reference,
      caller: 'first',
      credentialsRef: 'shop/pull',
    });
    expect(first.error?.message).toMatch(
      /kubernetes-secret shop\/pull \(hash [0-9a-f]{12}\): unauthorized/,
    );
    const second = await ensure({
      image: image.reference,
      caller: 'second',
      credentialsRef: 'shop/pull',
    });
    expect(second).toMatchObject({ result: { pulled: true } });
    const { data } = await events.waitFor(
      'ImagePulled',
      (e) => e.data.reference === image.reference,
    );
    expect(data.credential).toMatchObject({ source: 'kubernetes-secret', name: 'shop/pull' });
    expect(
      (await ensure({ image: image.reference, credentialsRef: 'shop/none' })).error,
    ).toMatchObject({ code: 'NOT_FOUND' });
    await nothingStuck();
  });

  it('reports a secret that does not decode in log, metric and event, and pulls', async () => {
    const image = add(50_000);
    writeSecret(`{"auths": {"${password}`);
    expect(await ensure({ image: image.reference })).toMatchObject({ result: { pulled: true } });
    const { data } = await events.waitFor(
      'ImagePulled',
      (e) => e.data.reference === image.reference,
    );
    expect(data.credentialProblems).toMatchObject([
      { source: 'kubernetes-secret', name: 'shop/pull' },
    ]);
    expect(
      await service.app.metric('stowage_image_credential_problems_total{source="secret"}'),
    ).toBeGreaterThan(0);
    writeSecret('{"auths":{}}');
  });

  it("fails every pull while a secret does not decode, where that is kubelet's way, and says which", async () => {
    const image = add(50_000);
    const strict = new ServiceProcess(stack, 'strict');
    await service.stop();
    await strict.start({ env: { ...env(), STOWAGE_UNDECODABLE_PULL_SECRETS: 'fail' } });
    try {
      writeSecret(`{"auths": {"${password}`);
      const why = 'secret shop/pull: .dockerconfigjson: not JSON';
      const reply = await ensure({
        image: image.reference,
        caller: 'a',
        credentialsRef: 'shop/pull',
      });
      expect(reply).toMatchObject({ ok: false, error: { code: 'INVALID_ARGUMENT' } });
      expect(reply.error?.message).toContain(why);
      await expect(
        strict.client.pullImage({
          image: { image: image.reference },
          sandboxConfig: { metadata: { namespace: 'shop', name: 'cart-0', uid: 'u1' } },
        }),
      ).rejects.toMatchObject({
        grpcStatus: 'INVALID_ARGUMENT',
        message: expect.stringContaining(why) as string,
      });
      const { data } = await events.waitFor(
        'ImagePullFailed',
        (event) => event.data.reference === image.reference,
      );
      expect(data).toMatchObject({ error: { code: 'credentials-unusable' }, attempts: 0 });
      // The credential of a request is looked for nowhere else.
      const auth = { username: 'u', password };
      expect(await ensure({ image: add(1000).reference, auth })).toMatchObject({ ok: true });
      expect(registry.requests.some(({ repository: asked }) => asked === image.repository)).toBe(
        false,
      );
      // It is the secret that is wrong, not the image: no back-off, and no restart once it is
      // right.
      writeSecret(secretFor(password));
      expect(await ensure({ image: image.reference, caller: 'a' })).toMatchObject({
        result: { pulled: true },
      });
      expect((await strict.outputs()).includes(password)).toBe(false);
    } finally {
      await strict.stop();
      writeSecret('{"auths":{}}');
      await service.start({ env: env() });
    }
  });

  it('makes one pull of 50 concurrent ensures of one image', async () => {
    const image = add(2 * mib);
    // Some five seconds, so that all callers are there before it ends.
    registry.fault = ({ kind }) => (kind === 'blob' ? { bytes: mib / 4, everyMs: 600 } : undefined);
    const before = await service.app.metric('stowage_image_pulls_total{result="success"}');
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, caller) =>
        ensure({ image: image.reference, pullPolicy: 'Always', caller: String(caller) }),
      ),
    );
    expect(new Set(replies.map(({ result }) => result?.imageId))).toEqual(
      new Set([stack.runtime.imageIdOf(image.imageId)]),
    );
    expect(await service.app.metric('stowage_image_pulls_total{result="success"}')).toBe(
      before + 1,
    );
    expect(registry.requests.filter(({ kind }) => kind === 'blob')).toHaveLength(2);
  });

  it('has no more than three of 20 images at the runtime, by priority', async () => {
    const images = Array.from({ length: 20 }, () => add(200_000));
    registry.fault = ({ kind }) => (kind === 'blob' ? { bytes: 100_000, everyMs: 30 } : undefined);
    let most = 0;
    let isDone = false;
    const watch = (async () => {
      while (!isDone) {
        most = Math.max(most, await service.app.metric('stowage_image_pulls_in_flight'));
      }
    })();
    const started = events.named('ImagePullStarted').length;
    const replies = await Promise.all(
      images.map(({ reference }, index) =>
        ensure({ image: reference, priority: index === 19 ? 100 : 0 }),
      ),
    );
    isDone = true;
    await watch;
    expect(replies.every(({ ok }) => ok)).toBe(true);
    expect(most).toBeLessThanOrEqual(3);
    await eventually(() => events.named('ImagePullStarted').length >= started + 20);
    const order = events
      .named('ImagePullStarted')
      .slice(started)
      .map(({ data }) => data.reference);
    expect(order.indexOf(images[19]!.reference)).toBeLessThan(19);
    await nothingStuck();
  });

  it('leaves nothing behind when the last caller leaves', async () => {
    const image = add(mib);
    registry.fault = ({ kind }) => (kind === 'blob' ? { stallAfter: 1000 } : undefined);
    const leave = new AbortController();
    const pull = service.client.pullImage(
      { image: { image: image.reference } },
      { signal: leave.signal },
    );
    pull.catch(() => undefined);
    await eventually(() => registry.requests.some(({ kind }) => kind === 'blob'));
    leave.abort();
    await expect(pull).rejects.toMatchObject({ grpcStatus: 'CANCELLED' });
    await eventuallyPasses(nothingStuck);
  });

  it.each([
    ['control characters', `reg.io/a${String.fromCharCode(7)}b`],
    ['4 KiB', `reg.io/${'a'.repeat(4090)}`],
    ['homoglyphs', 'reg.io/nginх:1'],
    ['path tricks', 'reg.io/../../etc/passwd'],
    ['percent signs', 'reg.io/%2e%2e/x'],
    ['a line break', 'reg.io/a\nb'],
  ])('refuses a reference with %s', async (_what, image) => {
    expect((await ensure({ image })).error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(service.client.pullImage({ image: { image } })).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
    });
    await nothingStuck();
  });

  it('killed in the middle of a pull: knows after the start whose image it is', async () => {
    const image = add(mib, 50_000);
    const auth = { username: 'u', password };
    const isGood = (authorization?: string) =>
      authorization === `Basic ${Buffer.from(`u:${password}`).toString('base64')}`;
    registry.fault = ({ kind, reference, authorization }) => {
      if (!isGood(authorization)) return unauthorized;
      return kind === 'blob' && reference === image.layers[0]
        ? { bytes: 128 * 1024, everyMs: 200 }
        : undefined;
    };
    const cut = ensure({ image: image.reference, auth }, 2000).catch(() => undefined);
    await eventually(() =>
      registry.requests.some(({ reference }) => reference === image.layers[0]),
    );
    const { data: begun } = await events.waitFor(
      'ImagePullStarted',
      ({ data }) => data.reference === image.reference,
    );
    await service.app.kill();
    service.client.close();
    await cut;
    expect(records('pulling')).toHaveLength(1);
    // The runtime has it by another way in the meantime.
    await stack.pullImage(image.reference, auth);
    await service.start({ env: env() });
    const { data: end } = await events.waitFor(
      'ImagePullFailed',
      ({ data }) => data.pullId === begun.pullId,
    );
    expect(end.error).toEqual({
      code: 'cancelled',
      grpcStatus: 'ABORTED',
      message:
        'image-service ended before the runtime answered; the image may have come all the same',
    });
    await eventually(() => records('pulling').length === 0, { what: 'the intent to be recovered' });
    expect(records('pulled').length).toBeGreaterThan(0);
    // The image is there, but the pull that brought it is ours and proves nothing.
    expect((await ensure({ image: image.reference })).error?.message).toMatch(/unauthorized/);
    expect(await ensure({ image: image.reference, auth })).toMatchObject({
      result: { pulled: true },
    });
    expect(await ensure({ image: image.reference, auth })).toMatchObject({
      result: { pulled: false },
    });
    await nothingStuck();
  });

  it('the runtime restarted in the middle of a pull: the caller gets an error, the next pull works', async () => {
    const image = add(2 * mib);
    registry.fault = ({ kind }) =>
      kind === 'blob' ? { bytes: 128 * 1024, everyMs: 200 } : undefined;
    const cut = ensure({ image: image.reference, caller: 'cut' });
    await eventually(() => registry.requests.some(({ kind }) => kind === 'blob'));
    await stack.runtime.kill();
    expect((await cut).error?.code).toMatch(/^(UNAVAILABLE|CANCELLED)$/);
    await stack.runtime.start();
    await eventually(async () => (await service.app.readiness()).status === 200, {
      what: 'recovery',
    });
    registry.fault = () => undefined;
    expect(await ensure({ image: image.reference, caller: 'cut' })).toMatchObject({
      result: { pulled: true },
    });
    await nothingStuck();
  });

  withProgress.each([
    ['in the middle of a pull', true],
    ['before the first pull', false],
  ])(
    'a runtime that freezes %s: the pull is given up, the next one works',
    async (_what, isDuring) => {
      await service.stop();
      await service.start({ env: env() });
      const image = add(2 * mib);
      registry.fault = ({ kind }) =>
        kind === 'blob' ? { bytes: 128 * 1024, everyMs: 200 } : undefined;
      const looks = 'stowage_cri_operations_duration_seconds_count{operation="image_fs_info"}';
      await eventually(async () => (await service.app.metric(looks)) > 0, {
        what: 'the first look',
      });
      if (!isDuring) stack.runtime.pause();
      try {
        const given = ensure({ image: image.reference, pullPolicy: 'Always', caller: 'a' });
        if (isDuring) {
          await eventually(() => registry.requests.some(({ kind }) => kind === 'blob'));
          stack.runtime.pause();
        }
        expect((await given).error).toMatchObject({
          code: 'DEADLINE_EXCEEDED',
          message: expect.stringContaining('the pull made no progress for 6000 ms') as string,
        });
        await nothingStuck();
      } finally {
        stack.runtime.resume();
      }
      registry.fault = () => undefined;
      expect(
        await ensure({ image: image.reference, pullPolicy: 'Always', caller: 'b' }),
      ).toMatchObject({ result: { pulled: true } });
      await nothingStuck();
    },
  );

  it('disk full: says so, and what was begun is gone when there is room', async () => {
    const freeBytes = () => {
      const { bavail, bsize } = statfsSync(stack.runtime.root);
      return bavail * bsize;
    };
    const before = freeBytes();
    const image = add(Math.floor(before * 0.6), Math.floor(before * 0.6));
    const reply = await ensure({ image: image.reference });
    expect(reply.error?.message).toMatch(/no space left on device/);
    const { data } = await events.waitFor(
      'ImagePullFailed',
      (e) => e.data.reference === image.reference,
    );
    expect(data.error).toMatchObject({ code: 'no-space' });
    // containerd drops what it had fetched when it collects garbage, which ending a lease makes it
    // do. Its lease of the pull itself may still be there: ending that needs room too.
    let made = 0;
    await eventuallyPasses(
      async () => {
        if (stack.runtime.name === 'containerd') {
          const { runtime } = stack;
          await runtime.ctr('leases', 'create', '--id', `collect-${++made}`);
          const leases = await runtime.ctr('leases', 'list', '--quiet');
          await runtime.ctr('leases', 'delete', '--sync', ...leases.trim().split(/\s+/));
        }
        // CRI-O keeps the layers that had come.
        const kept = stack.runtime.name === 'containerd' ? 0 : before * 0.6;
        expect(freeBytes()).toBeGreaterThan((before - kept) * 0.9);
      },
      { timeoutMs: 60_000 },
    );
    expect(await ensure({ image: add(50_000).reference })).toMatchObject({
      result: { pulled: true },
    });
    await nothingStuck();
  }, 240_000);

  it('has revealed no secret anywhere', async () => {
    const outputs = [await service.outputs(), ...events.all.map(({ wire }) => wire)].join('\n');
    expect(outputs).toContain('shop/pull');
    for (const secret of [password, rotatedPassword, token]) {
      const basic = Buffer.from(`u:${secret}`).toString('base64');
      expect([outputs.includes(secret), outputs.includes(basic)]).toEqual([false, false]);
    }
    expect(events.invalid).toEqual([]);
    expect(ingests().length).toBeLessThan(10);
    expect(existsSync(service.socket)).toBe(true);
    const direct = connectImageService({ endpoint: stack.runtime.endpoint });
    await direct.listImages({});
    direct.close();
  });
});
