import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { AuthConfig } from '@stowage/cri-proto';
import { commandSubject } from '@stowage/events';
import {
  ServiceFixture,
  startTraceCollector,
  testOn,
  type EventCollection,
  type Stack,
  type TraceCollector,
} from '@stowage/testing';
import { FakeRegistry, type RegistryFault } from '../testing/fake-registry';
import { seePulls, type SeenPulls } from '../testing/seen-pulls';
import { ServiceProcess, serviceNode, type EnsureReply } from '../testing/service-process';

const password = 'pw-Mr64-"never"/printed';
const identityToken = 'id-Ns55-never-printed';
const registryToken = 'reg-Ot46-never-printed';
const accessToken = 'acc-Pu37-never-printed';

/**
 * Credentials on their way through the built service and a real runtime to a registry, and back in
 * its errors.
 */
const onContainerd = testOn('containerd', 'CRI-O takes nothing but user name and password');

describe('credentials of image-service at the runtime and the registry', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let registry: FakeRegistry;
  let collector: TraceCollector;
  let events: EventCollection;
  let service: ServiceProcess;
  let runtime: SeenPulls;
  /** As they came to the runtime. */
  const auths: (AuthConfig | undefined)[] = [];
  /** What callers got as answers. */
  const answers: string[] = [];
  let names = 0;

  const add = () => registry.add(`team/auth-${++names}`, [20_000]);
  const ensure = async (input: object): Promise<EnsureReply> => {
    const subject = commandSubject(serviceNode, 'image-service', 'ensure');
    const reply = await fixture.nats.request(subject, JSON.stringify(input), { timeout: 60_000 });
    answers.push(reply.string());
    return reply.json();
  };
  const writeConfig = (entry: object) =>
    writeFileSync(
      path.join(service.dockerDir, 'config.json'),
      JSON.stringify({ auths: { [registry.host]: entry } }),
    );

  /**
   * A registry that wants a bearer token, and its token server, which wants the identity token for
   * one.
   */
  const wantsBearer =
    (token: string) =>
    ({
      path: asked,
      authorization,
      body = '',
    }: {
      path: string;
      authorization?: string;
      body?: string;
    }): RegistryFault | undefined => {
      if (asked.startsWith('/token')) {
        return new URLSearchParams(body).get('refresh_token') === identityToken
          ? { status: 200, body: JSON.stringify({ access_token: token }) }
          : { status: 401 };
      }
      if (authorization === `Bearer ${token}`) return undefined;
      const challenge = `Bearer realm="http://${registry.host}/token",service="s"`;
      return { status: 401, headers: { 'www-authenticate': challenge } };
    };

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ registries: false });
    ({ stack, events } = fixture);
    registry = await FakeRegistry.start();
    collector = await startTraceCollector();
    runtime = await seePulls(stack, ({ auth }) => auths.push(auth));
    service = new ServiceProcess(stack, 'auth');
    await service.start({
      env: {
        STOWAGE_IMAGE_ENDPOINT: runtime.endpoint,
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
        OTEL_BSP_SCHEDULE_DELAY: '100',
      },
    });
  });

  afterAll(async () => {
    await service.stop();
    await runtime.close();
    await collector.close();
    await registry.stop();
    await fixture.down();
  });

  beforeEach(() => {
    registry.fault = () => undefined;
    registry.requests.length = 0;
    auths.length = 0;
  });

  it('come to the runtime with every field of AuthConfig, from the socket, a command and docker config', async () => {
    const auth = {
      username: 'ada',
      password,
      auth: Buffer.from(`ada:${password}`).toString('base64'),
      serverAddress: `http://${registry.host}`,
      identityToken,
      registryToken,
    };
    await service.client.pullImage({ image: { image: add().reference }, auth });
    expect(await ensure({ image: add().reference, auth })).toMatchObject({ ok: true });
    writeConfig({
      username: 'ada',
      password,
      identitytoken: identityToken,
      registrytoken: registryToken,
    });
    expect(await ensure({ image: add().reference })).toMatchObject({ ok: true });
    expect(auths).toEqual([auth, auth, { ...auth, auth: '', serverAddress: '' }]);
  });

  onContainerd(
    'an identity token is exchanged at the token server, from a command and from docker config',
    async () => {
      registry.fault = wantsBearer(accessToken);
      for (const [entry, auth] of [
        [{}, { identityToken }],
        // As docker login writes it.
        [
          { auth: Buffer.from('<token>:').toString('base64'), identitytoken: identityToken },
          undefined,
        ],
      ] as const) {
        writeConfig(entry);
        registry.requests.length = 0;
        const { reference } = add();
        expect(await ensure({ image: reference, auth })).toMatchObject({
          result: { pulled: true },
        });
        expect(registry.requests.some(({ body = '' }) => body.includes(identityToken))).toBe(true);
        expect(registry.requests.at(-1)?.authorization).toBe(`Bearer ${accessToken}`);
      }
      const wrong = await ensure({ image: add().reference, auth: { identityToken: 'id-another' } });
      expect(wrong.error?.message).toMatch(
        /\[tried: request \(hash [0-9a-f]{12}\): unauthorized\]$/,
      );
    },
  );

  // Its CRI part looks at user name, password, auth and identity token alone: the pull is one
  // without a credential.
  onContainerd(
    'a registry token comes to the runtime, and containerd does not use it',
    async () => {
      registry.fault = wantsBearer(registryToken);
      const [secret, open] = [add(), add()];
      const { error } = await ensure({ image: secret.reference, auth: { registryToken } });
      expect(auths).toMatchObject([
        { username: '', password: '', identityToken: '', registryToken },
      ]);
      expect(
        registry.requests.map(({ path: asked, authorization }) => [
          asked.replace(/\?.*/, ''),
          authorization,
        ]),
      ).toEqual([
        [`/v2/${secret.repository}/manifests/1`, undefined],
        ['/token', undefined],
      ]);
      expect(error?.message).toMatch(
        /: failed to fetch anonymous token: .* \[tried: request \(hash [0-9a-f]{12}\): unauthorized\]$/,
      );
      registry.fault = () => undefined;
      expect(await ensure({ image: open.reference, auth: { registryToken } })).toMatchObject({
        result: { pulled: true },
      });
    },
  );

  it('do not come back in errors of a registry that quotes them', async () => {
    const { reference } = add();
    const basic = Buffer.from(`ada:${password}`).toString('base64');
    registry.fault = ({ kind, authorization = '' }) => {
      if (authorization === '') {
        return { status: 401, headers: { 'www-authenticate': 'Basic realm="test"' } };
      }
      const message = `what a header: ${authorization} of ${password}`;
      const body = JSON.stringify({ errors: [{ code: 'DENIED', message }] });
      return kind === 'blob' ? { status: 403, body } : undefined;
    };
    const auth = { username: 'ada', password };
    const { error } = await ensure({ image: reference, auth });
    expect(error?.message).toContain('what a header: ');
    const pulling = service.client.pullImage({ image: { image: reference }, auth });
    answers.push(await pulling.then(String, String));
    const { wire } = await events.waitFor(
      'ImagePullFailed',
      ({ data }) => data.reference === reference,
    );
    expect(wire).toContain('what a header: ');
    // The log of calls withholds it; that of pulls has it for the operator.
    const lines = service.app.stdout.split('\n').filter((line) => line.includes(reference));
    const warned = lines.filter((line) => /"level":"warn".*"image pull failed"/.test(line));
    expect(warned[0]).toContain('what a header: ');
    expect([error?.message.includes(password), error?.message.includes(basic)]).toEqual([
      false,
      false,
    ]);
  });

  it('stand in no output: answers, events, logs, metrics, files and spans', async () => {
    const spans = JSON.stringify(collector.spans);
    expect(spans).toContain('image.pull.attempt');
    const outputs = [
      ...answers,
      spans,
      await service.outputs(),
      ...events.all.map(({ wire }) => wire),
    ].join('\n');
    expect(outputs).toContain('what a header: ');
    const secrets = [password, identityToken, registryToken, accessToken].flatMap((secret) => [
      secret,
      JSON.stringify(secret).slice(1, -1),
      Buffer.from(`ada:${secret}`).toString('base64'),
    ]);
    expect(secrets.filter((secret) => outputs.includes(secret))).toEqual([]);
    expect(events.invalid).toEqual([]);
  });
});
