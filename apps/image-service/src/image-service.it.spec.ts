import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { inspect } from 'node:util';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { imageService, type CommandDefinition, type CommandInput } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService, type CriError } from '@stowage/cri-client';
import * as v1alpha2 from '@stowage/cri-proto/v1alpha2';
import {
  eventually,
  eventuallyPasses,
  ServiceFixture,
  type EventCollection,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { ServiceProcess, serviceNode as node } from './testing/service-process';

/** A call in the package that clients before Kubernetes 1.26 speak. */
function callV1alpha2<Q, S>(
  socket: string,
  method: string,
  request: { encode(message: Q): { finish(): Uint8Array } },
  response: { decode(bytes: Uint8Array): S },
  message: Q,
): Promise<S> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  return new Promise<S>((resolve, reject) => {
    client.makeUnaryRequest(
      `/runtime.v1alpha2.ImageService/${method}`,
      (value: Q) => Buffer.from(request.encode(value).finish()),
      (bytes: Buffer) => response.decode(bytes),
      message,
      (error: ServiceError | null, reply?: S) => {
        if (error == null && reply !== undefined) resolve(reply);
        else reject(error ?? new Error('no reply'));
      },
    );
  }).finally(() => client.close());
}

/** A registry that takes requests and never answers. */
async function hangingRegistry(): Promise<{ host: string; server: HttpServer; asked(): number }> {
  let requests = 0;
  const server = createServer(() => requests++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { host: `127.0.0.1:${port}`, server, asked: () => requests };
}

describe('image-service on containerd, registries and NATS', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let service: ServiceProcess;
  let events: EventCollection;
  let open: PushedImage;
  let secret: PushedImage;
  let auth: { username: string; password: string };

  const send = <C extends CommandDefinition>(command: C, input: CommandInput<C>) =>
    sendCommand(fixture.nats, node, command, input, { timeoutMs: 30_000, strict: true });
  /** What the client would not send, and the reply as it is on the wire. */
  const ask = (verb: string, input: object = {}) => fixture.request('image-service', verb, input);

  beforeAll(async () => {
    fixture = await ServiceFixture.start();
    ({ stack, events } = fixture);
    [open, secret] = await Promise.all([
      stack.pushImage({ name: 'team/open', tag: ['1', '2'] }),
      stack.pushImage({ name: 'team/secret', tag: '1', to: 'auth', sizeMb: 4 }),
    ]);
    auth = { username: stack.registry.auth.username, password: stack.registry.auth.password };
    service = new ServiceProcess(stack, 'main');
    await service.start();
  });

  afterAll(async () => {
    await service.stop();
    await fixture.down();
  });

  const pullSecret = (request: object = {}) =>
    service.client.pullImage({ image: { image: secret.reference }, ...request });
  const removeSecret = () => service.client.removeImage({ image: { image: secret.imageId } });
  /** Kubelet's: SHA-256 over the compact JSON of the filled fields. */
  const hashOf = () => createHash('sha256').update(JSON.stringify(auth)).digest('hex');

  it("refuses a private image without credentials, with the runtime's words and what was tried", async () => {
    await expect(pullSecret()).rejects.toMatchObject({
      message: expect.stringMatching(
        /^(failed to|unable to) pull .*(401|authorization|authentication required).* \[tried: no credentials: unauthorized\]$/,
      ) as string,
    });
    const { data, subject } = await events.waitFor('ImagePullFailed');
    expect(subject).toBe(secret.reference);
    expect(data).toMatchObject({
      requestedReference: secret.reference,
      reference: secret.reference,
      error: { code: 'unauthorized' },
      attempts: 1,
      credentials: [{ source: 'none', result: 'unauthorized' }],
    });
  });

  it('accepts it with the credentials of the request, and publishes what was pulled with what', async () => {
    const { imageRef } = await pullSecret({
      auth,
      sandboxConfig: { metadata: { namespace: 'shop', name: 'cart-0', uid: 'u1', attempt: 0 } },
    });
    expect(imageRef).toBe(secret.imageId);
    const { data, subject } = await events.waitFor('ImagePulled');
    const { image } = await service.client.imageStatus({ image: { image: imageRef } });
    expect(subject).toBe(secret.imageId);
    expect(data).toMatchObject({
      requestedReference: secret.reference,
      reference: secret.reference,
      imageRef,
      imageId: secret.imageId,
      repoDigest: secret.repoDigest,
      sizeBytes: Number(image?.size),
      attempts: 1,
      credential: { source: 'request', hash: hashOf() },
      pod: { namespace: 'shop', name: 'cart-0', uid: 'u1' },
    });
    expect(data.durationMs).toBeGreaterThan(0);
    const started = events.named('ImagePullStarted').find((e) => e.data.pullId === data.pullId);
    expect(started?.data).toMatchObject({ reference: secret.reference });
    expect(started!.streamSequence).toBeLessThan(
      events.named('ImagePulled').find((e) => e.data.pullId === data.pullId)!.streamSequence,
    );
  });

  it('removes it, and publishes on whose wish', async () => {
    await removeSecret();
    const { data } = await events.waitFor('ImageRemoved');
    expect(data).toMatchObject({
      imageId: secret.imageId,
      repoTags: [secret.reference],
      removedBy: 'image-service',
      reason: 'request',
    });
    expect((await service.client.imageStatus({ image: { image: secret.imageId } })).image).toBe(
      undefined,
    );
    await removeSecret();
    expect(events.named('ImageRemoved')).toHaveLength(1);
  });

  it('takes the credentials of docker config.json, trying each that matches, also when the file changes', async () => {
    const file = path.join(service.dockerDir, 'config.json');
    const entry = (password: string) => ({
      auth: Buffer.from(`${auth.username}:${password}`).toString('base64'),
    });
    const attempts = (result: string) =>
      service.app.metric(
        `stowage_image_pull_attempts_total{credential="docker-config",result="${result}"}`,
      );
    const { host } = stack.registry.auth;
    writeFileSync(file, JSON.stringify({ auths: { [host]: entry('wrong-password') } }));
    await expect(pullSecret()).rejects.toThrow(
      new RegExp(`\\[tried: docker-config ${file} \\(hash [0-9a-f]{12}\\): unauthorized\\]$`),
    );
    writeFileSync(
      file,
      JSON.stringify({
        auths: { [`${host}/team`]: entry('wrong-password'), [host]: entry(auth.password) },
      }),
    );
    expect((await pullSecret()).imageRef).toBe(secret.imageId);
    const { data } = await events.waitFor('ImagePulled', (e) => e.data.attempts === 2);
    expect(data.credential).toEqual({ source: 'docker-config', name: file, hash: hashOf() });
    expect(data.failedAttempts).toMatchObject([
      { source: 'docker-config', name: file, result: 'unauthorized' },
    ]);
    const line = service.app.stdout.split('\n').find((each) => each.includes('"failedAttempts":'));
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      level: 'info',
      msg: 'image pulled',
      failedAttempts: [
        {
          name: file,
          reason: expect.stringMatching(/401|authoriz|authentication required/) as string,
        },
      ],
    });
    expect([await attempts('unauthorized'), await attempts('success')]).toEqual([2, 1]);
    await removeSecret();
  });

  it('reports a config.json that does not decode, and pulls what needs no credentials', async () => {
    writeFileSync(path.join(service.dockerDir, 'config.json'), '{"auths": {"hunter2": 1}');
    const { imageRef } = await service.client.pullImage({ image: { image: open.reference } });
    expect(imageRef).toBe(open.imageId);
    expect(
      await service.app.metric('stowage_image_credential_problems_total{source="docker-config"}'),
    ).toBe(1);
    expect(service.app.stdout).not.toContain('hunter2');
    rmSync(path.join(service.dockerDir, 'config.json'));
  });

  it.each([
    ['team/UPPER:1', 'the repository path "team/UPPER" has upper-case characters'],
    ['reg.io/a:b:c', ''],
    ['../etc/passwd', ''],
    ['a\u0000b', ''],
    ['а/б', ''],
  ])(
    'refuses the reference %j with INVALID_ARGUMENT, naming it and the rule',
    async (image, rule) => {
      const before = events.named('ImagePullFailed').length;
      await expect(service.client.pullImage({ image: { image } })).rejects.toMatchObject({
        grpcStatus: 'INVALID_ARGUMENT',
        message: expect.stringContaining(
          `image reference ${JSON.stringify(image)} is not valid: ${rule}`,
        ) as string,
      });
      await eventually(() => events.named('ImagePullFailed').length > before);
      expect(events.named('ImagePullFailed').at(-1)?.data).toMatchObject({
        requestedReference: image,
        error: { code: 'invalid-reference', grpcStatus: 'INVALID_ARGUMENT' },
        attempts: 0,
      });
    },
  );

  it('repeats no user information of an image and no unknown key: not in answers, log, events or state', async () => {
    const word = 'never-repeated';
    const image = `https://svc-${word}:p@ss/"${word}@host.example/x`;
    const before = events.named('ImagePullFailed').length;
    const refused = { code: 'INVALID_ARGUMENT' };
    const answers = [
      await service.client.pullImage({ image: { image } }).catch((error: unknown) => error),
      await service.client.removeImage({ image: { image } }).catch((error: unknown) => error),
      ...(await Promise.all(
        ['ensure', 'status', 'list'].map(async (verb) => {
          const answer = await ask(verb, { image });
          expect(answer).toMatchObject({ ok: false, error: refused });
          return answer;
        }),
      )),
      await ask('ensure', { image: 'a', [`p@ss-${word}`]: 1 }),
      await ask('ensure', { image: 'a', auth: { [`p@ss-${word}`]: 1 } }),
    ];
    expect(answers.slice(0, 2)).toMatchObject([
      { grpcStatus: 'INVALID_ARGUMENT' },
      { grpcStatus: 'INVALID_ARGUMENT' },
    ]);
    await eventually(() => events.named('ImagePullFailed').length > before);
    const failed = events.named('ImagePullFailed').at(-1);
    expect(failed?.data.requestedReference).toBe('https://[redacted]@host.example/x');
    const outputs = await service.outputs();
    expect(outputs).toContain('https://[redacted]@host.example/x');
    const texts = [outputs, ...answers.map((answer) => inspect(answer, { depth: 9 }))];
    texts.push(...events.all.map(({ wire }) => JSON.stringify(wire)));
    expect(texts.filter((text) => text.includes(word))).toEqual([]);
  });

  it('says INVALID_ARGUMENT for a reference that only the runtime cannot read', async () => {
    // containerd reads an IPv6 host from version 2 on.
    const error = (await service.client
      .pullImage({ image: { image: '[::1]:1/x' } })
      .catch((thrown: unknown) => thrown)) as { message: string; grpcStatus: string };
    const isRead = /connection refused|cannot assign requested address/.test(error.message);
    expect([isRead, error.grpcStatus]).toEqual([
      isRead,
      isRead ? error.grpcStatus : 'INVALID_ARGUMENT',
    ]);
  });

  it('refuses a request that is no message', async () => {
    const garbage = { encode: () => ({ finish: () => Uint8Array.of(0x0a, 0xff) }) };
    await expect(
      callV1alpha2(service.socket, 'PullImage', garbage, v1alpha2.PullImageResponse, {}),
    ).rejects.toMatchObject({
      code: 3,
      details: 'request: "2 bytes" is not allowed; allowed: a PullImageRequest message',
    });
  });

  it("keeps the runtime's code and message for an image that does not exist", async () => {
    const image = `${stack.registry.open.host}/team/none:1`;
    const direct = connectImageService({ endpoint: stack.runtime.endpoint });
    const own = await direct.pullImage({ image: { image } }).catch((error: unknown) => error);
    direct.close();
    const { grpcStatus, message } = own as CriError;
    expect(message).toContain(image);
    await expect(service.client.pullImage({ image: { image } })).rejects.toMatchObject({
      grpcStatus,
      message: `${message} [tried: no credentials: not-found]`,
    });
  });

  describe('calls it does not change', () => {
    it('answers as the runtime does, in v1 and in v1alpha2', async () => {
      await service.client.pullImage({ image: { image: open.reference } });
      const direct = connectImageService({ endpoint: stack.runtime.endpoint });
      try {
        const images = await service.client.listImages({});
        expect(images).toEqual(await direct.listImages({}));
        expect(images.images.map(({ id }) => id)).toContain(open.imageId);
        const status = await service.client.imageStatus({ image: { image: open.reference } });
        expect(status).toEqual(await direct.imageStatus({ image: { image: open.reference } }));
        const old = await callV1alpha2(
          service.socket,
          'ListImages',
          v1alpha2.ListImagesRequest,
          v1alpha2.ListImagesResponse,
          { filter: undefined },
        );
        expect(old.images.map(({ id, size }) => [id, size])).toEqual(
          images.images.map(({ id, size }) => [id, size]),
        );
        const oldStatus = await callV1alpha2(
          service.socket,
          'ImageStatus',
          v1alpha2.ImageStatusRequest,
          v1alpha2.ImageStatusResponse,
          v1alpha2.ImageStatusRequest.fromPartial({ image: { image: open.reference } }),
        );
        expect(oldStatus.image?.id).toBe(open.imageId);
      } finally {
        direct.close();
      }
    });

    it('returns the file system in both versions', async () => {
      const info = await service.client.imageFsInfo({});
      const old = await callV1alpha2(
        service.socket,
        'ImageFsInfo',
        v1alpha2.ImageFsInfoRequest,
        v1alpha2.ImageFsInfoResponse,
        {},
      );
      expect(old.imageFilesystems[0]?.fsId?.mountpoint).toBe(
        info.imageFilesystems[0]?.fsId?.mountpoint,
      );
    });

    it('pulls and removes in v1alpha2', async () => {
      const pulled = await callV1alpha2(
        service.socket,
        'PullImage',
        v1alpha2.PullImageRequest,
        v1alpha2.PullImageResponse,
        v1alpha2.PullImageRequest.fromPartial({ image: { image: secret.reference }, auth }),
      );
      expect(pulled.imageRef).toBe(secret.imageId);
      await callV1alpha2(
        service.socket,
        'RemoveImage',
        v1alpha2.RemoveImageRequest,
        v1alpha2.RemoveImageResponse,
        v1alpha2.RemoveImageRequest.fromPartial({ image: { image: secret.imageId } }),
      );
      const { image } = await service.client.imageStatus({ image: { image: secret.imageId } });
      expect(image).toBeUndefined();
    });

    it("hands on the runtime's own answer to methods it does not know", async () => {
      await expect(
        callV1alpha2(
          service.socket,
          'FlyToTheMoon',
          v1alpha2.ImageFsInfoRequest,
          v1alpha2.ImageFsInfoResponse,
          {},
        ),
      ).rejects.toMatchObject({
        code: 12,
        details: 'unknown method FlyToTheMoon for service runtime.v1.ImageService',
      });
    });
  });

  describe('commands', () => {
    it('ensure pulls, then finds it there and publishes its use with the hold', async () => {
      await service.client.removeImage({ image: { image: open.imageId } });
      const first = await send(imageService.ensure, { image: open.reference });
      expect(first).toEqual({
        imageRef: open.imageId,
        imageId: open.imageId,
        pulled: true,
        bytes: expect.any(Number) as number,
        durationMs: expect.any(Number) as number,
      });
      const held = { image: open.reference, holdSeconds: 600 };
      expect(await send(imageService.ensure, held)).toMatchObject({
        imageId: open.imageId,
        pulled: false,
      });
      const { data, subject } = await events.waitFor('ImageEnsured');
      expect(subject).toBe(open.imageId);
      expect(data).toMatchObject({
        requestedReference: open.reference,
        imageId: open.imageId,
        repoDigest: open.repoDigest,
        pullPolicy: 'IfNotPresent',
      });
      expect(Date.parse(data.holdUntil!) - Date.now()).toBeGreaterThan(500_000);
    });

    it('ensure takes credentials and policies', async () => {
      const never = { image: secret.reference, pullPolicy: 'Never' as const };
      await expect(send(imageService.ensure, never)).rejects.toMatchObject({
        code: 'COMMAND_REFUSED',
        reason: `FAILED_PRECONDITION: Container image "${secret.reference}" is not present with pull policy of Never`,
      });
      const withLogin = { image: secret.reference, auth };
      expect(await send(imageService.ensure, withLogin)).toMatchObject({
        imageId: secret.imageId,
        pulled: true,
      });
      expect(await send(imageService.ensure, never)).toMatchObject({ pulled: false });
    });

    it('list, status and stats answer from the runtime', async () => {
      expect(await send(imageService.status, { image: open.reference })).toMatchObject({
        image: { imageId: open.imageId, pinned: false },
      });
      expect(await send(imageService.status, { image: 'reg.io/none:1' })).toEqual({ image: null });
      const { images } = await send(imageService.list, {});
      expect(images.map(({ imageId }) => imageId)).toContain(open.imageId);
      expect(await send(imageService.list, { image: open.reference })).toMatchObject({
        images: [{ imageId: open.imageId }],
      });
      expect(await send(imageService.stats, {})).toMatchObject({
        imageCount: images.length,
        totalStorageBytes: expect.any(Number) as number,
        imageFilesystems: [
          stack.runtime.name === 'containerd'
            ? { usedBytes: expect.any(Number) as number }
            : // CRI-O's bytes are those of its notes about the images.
              { mountpoint: expect.stringContaining(stack.runtime.root) as string },
        ],
      });
    });

    it.each([
      ['remove', { image: 'a' }, 'PERMISSION_DENIED', 'does not list it'],
      ['status', {}, 'INVALID_ARGUMENT', 'image: '],
      ['status', { image: 'A:B:C' }, 'INVALID_ARGUMENT', 'image reference "A:B:C" is not valid'],
      ['ensure', { image: 'a', policy: 'Never' }, 'INVALID_ARGUMENT', 'unknown key "policy"'],
      [
        'ensure',
        { image: 'a', auth: { pasword: 'x' } },
        'INVALID_ARGUMENT',
        'unknown key "pasword"',
      ],
    ])('refuses %s %j with %s', async (verb, input, code, message) => {
      expect(await ask(verb, input)).toEqual({
        ok: false,
        error: { code, message: expect.stringContaining(message) as string },
      });
    });

    it('removes where the configuration allows it', async () => {
      const allowed = new ServiceProcess(stack, 'remove');
      await service.stop();
      await allowed.start({ env: { STOWAGE_COMMANDS: 'remove' } });
      try {
        const remove = () => send(imageService.remove, { image: secret.reference });
        await eventually(remove);
        expect(await remove()).toEqual({ removed: false });
        expect(await ask('list')).toMatchObject({ error: { code: 'PERMISSION_DENIED' } });
      } finally {
        await allowed.stop();
        await service.start();
      }
    });
  });

  describe('many callers and callers that leave', () => {
    it('share one pull of the runtime', async () => {
      await removeSecret();
      const before = await service.app.metric('stowage_image_pulls_total{result="success"}');
      const replies = await Promise.all(Array.from({ length: 20 }, () => pullSecret({ auth })));
      expect(new Set(replies.map(({ imageRef }) => imageRef))).toEqual(new Set([secret.imageId]));
      // A pull is counted when it is reported, after its answer has left.
      await eventuallyPasses(async () => {
        const [after, joined] = await Promise.all([
          service.app.metric('stowage_image_pulls_total{result="success"}'),
          service.app.metric('stowage_image_pulls_coalesced_total'),
        ]);
        expect(after - before + joined).toBe(20);
        expect(joined).toBeGreaterThan(0);
      });
    });

    it("end the runtime's pull when the last one leaves", async () => {
      const registry = await hangingRegistry();
      try {
        const image = `${registry.host}/team/slow:1`;
        const leave = new AbortController();
        const pulls = [1, 2].map(() =>
          service.client.pullImage({ image: { image } }, { signal: leave.signal }),
        );
        await eventually(() => registry.asked() > 0, { what: 'the runtime to ask the registry' });
        expect(await service.app.metric('stowage_image_pulls_in_flight')).toBe(1);
        leave.abort();
        for (const pull of pulls)
          await expect(pull).rejects.toMatchObject({ grpcStatus: 'CANCELLED' });
        const { data } = await events.waitFor('ImagePullFailed', (e) => e.data.reference === image);
        expect(data).toMatchObject({ error: { code: 'cancelled', grpcStatus: 'CANCELLED' } });
        expect(await service.app.metric('stowage_image_pulls_in_flight')).toBe(0);
        expect(registry.asked()).toBe(1);
      } finally {
        registry.server.closeAllConnections();
        registry.server.close();
      }
    });

    it('get UNAVAILABLE at the stop, and what was cut short is published', async () => {
      const registry = await hangingRegistry();
      const stopping = new ServiceProcess(stack, 'stop');
      await stopping.start({ env: { STOWAGE_STOP_TIMEOUT: '10s' } });
      try {
        const image = `${registry.host}/team/stop:1`;
        const pull = stopping.client.pullImage({ image: { image } });
        pull.catch(() => undefined);
        await eventually(() => registry.asked() > 0, { what: 'the runtime to ask the registry' });
        expect(await stopping.app.stop()).toBe(0);
        await expect(pull).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE' });
        const { data } = await events.waitFor('ImagePullFailed', (e) => e.data.reference === image);
        expect(data.error).toMatchObject({ code: 'cancelled' });
      } finally {
        stopping.client.close();
        registry.server.closeAllConnections();
        registry.server.close();
      }
    });
  });

  it('has metrics of pulls by result, size class, credential and call', async () => {
    const { body } = await service.app.get('/metrics');
    for (const line of [
      /^stowage_image_pulls_total\{result="success"\} [1-9]/m,
      /^stowage_image_pull_duration_seconds_count\{image_size_in_bytes="0-10MB"\} [1-9]/m,
      /^stowage_image_pulled_bytes_total [1-9]/m,
      /^stowage_image_pull_attempts_total\{credential="request",result="success"\} [1-9]/m,
      /^stowage_image_calls_total\{method="PullImage",served_by="local",code="OK"\} [1-9]/m,
      /^stowage_events_published_total [1-9]/m,
      /^stowage_health_component_state\{component="runtime",state="ok"\} 1$/m,
    ]) {
      expect(body).toMatch(line);
    }
  });

  it('reveals no secret anywhere, and all events keep their schema', async () => {
    const wire = events.all.map((event) => event.wire).join('\n');
    const basic = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
    const outputs = `${await service.outputs()}\n${wire}`;
    expect(outputs).toContain(secret.reference);
    const wrong = Buffer.from(`${auth.username}:wrong-password`).toString('base64');
    for (const text of [auth.password, basic, 'wrong-password', wrong]) {
      expect(outputs.includes(text)).toBe(false);
    }
    expect(events.invalid).toEqual([]);
  });

  describe('without its neighbours', () => {
    it('waits for a runtime that is absent, says so, and recovers by itself', async () => {
      await stack.runtime.stop();
      const early = new ServiceProcess(stack, 'early');
      await early.start({ ready: 'healthz', env: { STOWAGE_COMMANDS: '' } });
      try {
        const away = /runtime at unix:\S+ is unavailable since \d{4}-\d\d-\d\dT\S+Z: /;
        await eventuallyPasses(async () => {
          const { status, text } = await early.app.readiness();
          expect(status).toBe(503);
          expect(text).toMatch(/runtime down since \d{4}-\S+Z: unix:\S+: connect E\w+ /);
        });
        for (const method of ['PullImage', 'ListImages'] as const) {
          const call = callV1alpha2(
            early.socket,
            method,
            v1alpha2.PullImageRequest,
            v1alpha2.PullImageResponse,
            v1alpha2.PullImageRequest.fromPartial({ image: { image: open.reference } }),
          );
          await expect(call).rejects.toMatchObject({
            code: 14,
            details: expect.stringMatching(away) as string,
          });
        }
        await stack.runtime.start();
        await eventually(async () => (await early.app.readiness()).status === 200, {
          what: 'recovery',
        });
        await early.client.whenAvailable();
        await early.client.pullImage({ image: { image: open.reference } });
        await stack.runtime.stop();
        await eventually(async () => (await early.app.readiness()).status === 503, {
          what: 'the loss',
        });
        await expect(early.client.listImages({})).rejects.toMatchObject({
          grpcStatus: 'UNAVAILABLE',
        });
      } finally {
        await stack.runtime.start();
        expect(await early.stop()).toBe(0);
      }
    });

    it('works without NATS, and publishes everything when it is back', async () => {
      await stack.nats.stop();
      const quiet = new ServiceProcess(stack, 'quiet');
      await quiet.start({ env: { STOWAGE_COMMANDS: '' } });
      try {
        await eventuallyPasses(async () => {
          const { status, text } = await quiet.app.readiness();
          expect(status).toBe(200);
          expect(text).toMatch(/^nats degraded since /);
        });
        await quiet.client.removeImage({ image: { image: open.imageId } });
        await quiet.client.pullImage({
          image: { image: `${stack.registry.open.host}/team/open:2` },
        });
        expect(await quiet.app.metric('stowage_events_pending')).toBeGreaterThan(1);
        await stack.nats.start();
        const { data } = await events.waitFor(
          'ImagePulled',
          (e) => e.data.requestedReference.endsWith('/team/open:2'),
          { timeoutMs: 60_000 },
        );
        expect(data.imageId).toBe(open.imageId);
        await eventually(async () => (await quiet.app.readiness()).text === '', { what: 'health' });
      } finally {
        if (!stack.nats.running) await stack.nats.start();
        expect(await quiet.stop()).toBe(0);
      }
    });

    it('refuses a second instance on the same socket, and leaves the first alone', async () => {
      const second = new ServiceProcess(stack, 'second');
      await expect(second.start({ env: { STOWAGE_LISTEN: service.socket } })).rejects.toThrow(
        `socket ${service.socket} is in use: another process answers on it`,
      );
      await service.client.listImages({});
    });
  });
});
