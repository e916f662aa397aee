import { PullImageRequest } from '@stowage/cri-proto';
import type { PullCredential } from '../credentials/credentials';
import { EnsureImage } from '../ensure/ensure-image';
import { PullImage } from '../pull/pull-image';
import type { Pull } from '../pull/pull';
import { ShortNames } from './short-names';
import { FakeRuntime } from '../testing/fake-runtime';

const { signal } = new AbortController();
const hub: PullCredential = {
  label: { source: 'docker-config' },
  auth: { username: 'u', password: 'hub-password' },
};

/** A runtime of that name, and a node that has a credential for Docker Hub. */
function harness(runtimeName: string | Error) {
  const runtime = new FakeRuntime();
  runtime.onPull = ({ succeed }) => succeed('sha256:1');
  const connection = { available: true, connections: 1 };
  const asked: string[] = [];
  let versions = 0;
  const started: Pull[] = [];
  const node = {
    forRepository: (repository: string) => {
      asked.push(repository);
      return Promise.resolve([hub]);
    },
  };
  const shortNames = new ShortNames({
    availability: () => connection,
    version: () => {
      versions += 1;
      return runtimeName instanceof Error
        ? Promise.reject(runtimeName)
        : Promise.resolve({ runtimeName });
    },
    log: { debug: () => undefined },
  });
  const puller = new PullImage({
    runtime,
    node,
    hashOf: () => 'h',
    listener: { started: (pull) => started.push(pull) },
    shortNames,
  });
  const ensurer = new EnsureImage({
    runtime,
    puller,
    node,
    hashOf: () => 'h',
    listener: {},
    shortNames,
  });
  const pull = (image: string, auth?: object) =>
    puller.pull(PullImageRequest.fromPartial({ image: { image }, auth }), { signal });
  const ensure = (image: string, credentialsRef?: string) =>
    ensurer.ensure({ image, credentialsRef }, { signal });
  const sent = () => runtime.pulls.map(({ request }) => request.auth?.password);
  const published = () => started.map(({ reference }) => reference);
  return { pull, ensure, asked, sent, published, connection, versions: () => versions };
}

describe('a short name', () => {
  it.each(['containerd', 'docker'])('is one of Docker Hub over %s', async (name) => {
    const { pull, ensure, sent, published, versions } = harness(name);
    await pull('nginx');
    await ensure('team/app:1');
    expect(sent()).toEqual(['hub-password', 'hub-password']);
    expect(published()).toEqual(['docker.io/library/nginx:latest', 'docker.io/team/app:1']);
    expect(versions()).toBe(1);
  });

  it.each([['cri-o'], ['some-other'], [new Error('no answer')]])(
    'over %s gets no credential of the node, and no registry in what is published',
    async (name) => {
      const { pull, ensure, asked, sent, published } = harness(name);
      await pull('nginx');
      await ensure('library/redis:7');
      expect(asked).toEqual([]);
      expect(sent()).toEqual([undefined, undefined]);
      expect(published()).toEqual(['nginx:latest', 'library/redis:7']);
    },
  );

  it('goes with the credential of the request all the same', async () => {
    const { pull, sent } = harness('cri-o');
    await pull('nginx', { username: 'u', password: 'own' });
    expect(sent()).toEqual(['own']);
  });

  it('is refused with a pull secret by name', async () => {
    const { ensure, sent } = harness('cri-o');
    await expect(ensure('nginx', 'shop/registry')).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^credentialsRef: .*docker\.io\/library\/nginx/) as string,
    });
    expect(sent()).toEqual([]);
  });

  it('is judged anew when the runtime was replaced', async () => {
    const { pull, connection, versions } = harness('cri-o');
    await pull('nginx');
    await pull('nginx');
    connection.connections += 1;
    await pull('nginx');
    expect(versions()).toBe(2);
  });
});

it.each(['docker.io/nginx', 'quay.io/a/b:1', 'localhost/a', 'reg:5000/a', '[::1]:5000/a'])(
  '%s names its registry over any runtime, which is not asked for its name',
  async (image) => {
    const { pull, asked, sent, versions } = harness('cri-o');
    await pull(image);
    expect(asked).toHaveLength(1);
    expect(sent()).toEqual(['hub-password']);
    expect(versions()).toBe(0);
  },
);
