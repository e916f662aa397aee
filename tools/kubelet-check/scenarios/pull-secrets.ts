import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster, named, onePod, pushPrivate, recordedFor, type Login } from '../cluster';
import { ofStowage } from '../compare';
import type { Scenario } from '../scenario';

const running = 'Running; main: running, ready';
const refused = 'Pending; main: ImagePullBackOff';

/**
 * Who asks, with which of the secrets, and what comes of it. They come in this order, each when the
 * one before has come to its end.
 */
const cases = [
  {
    namespace: 'street',
    name: 'first',
    what: 'without secret, before anyone has pulled',
    state: refused,
  },
  { namespace: 'shop', name: 'own', secrets: ['registry'], what: 'with a secret', state: running },
  {
    namespace: 'street',
    name: 'later',
    what: 'without secret, when the image is there',
    state: refused,
  },
  {
    ...{
      namespace: 'street',
      name: 'never',
      policy: 'Never',
      state: 'Pending; main: ErrImageNeverPull',
    },
    what: 'without secret, when the image is there and must not be pulled',
  },
  {
    namespace: 'street',
    name: 'always',
    policy: 'Always',
    what: 'without secret, pulled each time',
    state: refused,
  },
  {
    namespace: 'thief',
    name: 'wrong',
    secrets: ['registry'],
    what: 'with a wrong secret',
    state: refused,
  },
  {
    ...{ namespace: 'thief', name: 'missing', secrets: ['no-such-secret'], state: refused },
    what: 'with a secret that is not there',
  },
  {
    namespace: 'shop',
    name: 'again',
    secrets: ['registry'],
    what: 'the same secret again',
    state: running,
  },
  {
    ...{ namespace: 'bank', name: 'own', secrets: ['registry'], state: running },
    what: 'with the same login in a secret of another namespace',
  },
  {
    ...{
      namespace: 'bank',
      name: 'two',
      secrets: ['wrong', 'registry'],
      policy: 'Always',
      state: running,
    },
    what: 'with a wrong secret and a right one, pulled each time',
  },
  {
    namespace: 'shop',
    name: 'none',
    what: 'without secret, where others of the namespace have one',
    state: refused,
  },
] as const satisfies readonly {
  namespace: string;
  name: string;
  what: string;
  state: string;
  secrets?: readonly string[];
  policy?: string;
}[];

const title = ({ namespace, what }: (typeof cases)[number]): string => `${namespace}, ${what}`;

export const pullSecrets: Scenario = {
  name: 'pull-secrets',
  text: 'imagePullSecrets of several namespaces, and what kubelet records of their pulls (KEP-2535)',
  needs: 'api-server',
  expected: {
    ...Object.fromEntries(cases.map((one) => [`${title(one)}: state`, one.state])),
    // What a secret brought is not everybody's.
    'shop, with a secret: what kubelet records': 'secret shop/registry',
    'bank, with the same login in a secret of another namespace: what kubelet records':
      'secret bank/registry, secret shop/registry',
    'shop, the secret changed: state': running,
    [`${ofStowage}a mounted secret, pod of another namespace`]: refused,
    [`${ofStowage}a mounted secret, pod of its namespace`]: running,
    // kubelet cannot see whose credential it was (ADR 0024).
    [`${ofStowage}a mounted secret, what kubelet records`]: 'all pods of the node',
    [`${ofStowage}mounted secrets for named use only, pod of the namespace`]: refused,
    [`${ofStowage}mounted secrets for named use only, pod with a secret`]: running,
    [`${ofStowage}mounted secrets for named use only, what kubelet records`]:
      'secret shop/registry',
  },
  play: (lab) =>
    Cluster.with(lab, async (cluster) => {
      const { auth } = lab.stack.registry;
      const login: Login = { host: auth.host, username: auth.username, password: auth.password };
      for (const namespace of ['shop', 'bank', 'street', 'thief']) {
        await cluster.namespace(namespace);
        await cluster.pullSecret(namespace, 'wrong', { ...login, password: 'wrong' });
      }
      await cluster.pullSecret('shop', 'registry', login);
      await cluster.pullSecret('bank', 'registry', login);
      await cluster.pullSecret('thief', 'registry', { ...login, password: 'wrong' });
      const image = await pushPrivate(lab, 'vault/app');
      const seen: Record<string, string> = {};
      for (const one of cases) {
        const { namespace, name, state } = one;
        const secrets = 'secrets' in one ? one.secrets : [];
        const imagePullPolicy = 'policy' in one ? one.policy : 'IfNotPresent';
        const spec = onePod(image, {
          container: { imagePullPolicy },
          pod: { imagePullSecrets: secrets.map((secret) => ({ name: secret })) },
        });
        Object.assign(
          seen,
          named(title(one), await cluster.seenOf({ namespace, name, spec }, state)),
        );
        seen[`${title(one)}: what kubelet records`] = recordedFor(lab, image);
      }
      // What a record says holds for the secret, whatever it contains by now.
      await cluster.pullSecret('shop', 'registry', { ...login, password: 'changed' });
      const changed = { namespace: 'shop', name: 'changed', spec: withSecret(image) };
      Object.assign(
        seen,
        named('shop, the secret changed', await cluster.seenOf(changed, running)),
      );
      await cluster.pullSecret('shop', 'registry', login);
      if (lab.way.services.includes('image-service')) {
        Object.assign(seen, await withMountedSecrets(cluster, login));
      }
      return seen;
    }),
};

const withSecret = (image: string): Record<string, unknown> =>
  onePod(image, { pod: { imagePullSecrets: [{ name: 'registry' }] } });

/** image-service has the secret of one namespace itself. */
async function withMountedSecrets(cluster: Cluster, login: Login): Promise<Record<string, string>> {
  const { lab } = cluster;
  const folder = path.join(lab.stack.dir, 'pull-secrets');
  mkdirSync(path.join(folder, 'shop/registry'), { recursive: true, mode: 0o700 });
  const { host, username, password } = login;
  writeFileSync(
    path.join(folder, 'shop/registry/.dockerconfigjson'),
    JSON.stringify({ auths: { [host]: { username, password } } }),
    { mode: 0o600 },
  );
  const seen: Record<string, string> = {};
  const see = async (
    part: string,
    namespace: string,
    name: string,
    spec: object,
    state: string,
  ) => {
    await cluster.addPod({ namespace, name, spec: { ...spec } });
    seen[`${ofStowage}${part}`] = await cluster.stateOf(namespace, name, state);
  };
  const inUse = async (scope: string): Promise<void> => {
    await lab.service('image-service').stop();
    await lab.startService('image-service', {
      STOWAGE_PULL_SECRETS_DIR: folder,
      STOWAGE_PULL_SECRETS_SCOPE: scope,
    });
  };
  try {
    await inUse('namespace');
    const mounted = await pushPrivate(lab, 'vault/mounted');
    const part = 'a mounted secret';
    await see(`${part}, pod of another namespace`, 'street', 'mounted', onePod(mounted), refused);
    await see(`${part}, pod of its namespace`, 'shop', 'mounted', onePod(mounted), running);
    seen[`${ofStowage}${part}, what kubelet records`] = recordedFor(lab, mounted);
    await inUse('named');
    const kept = await pushPrivate(lab, 'vault/kept');
    const use = 'mounted secrets for named use only';
    await see(`${use}, pod of the namespace`, 'shop', 'kept', onePod(kept), refused);
    await see(`${use}, pod with a secret`, 'shop', 'kept-own', withSecret(kept), running);
    seen[`${ofStowage}${use}, what kubelet records`] = recordedFor(lab, kept);
  } finally {
    await lab.restartService('image-service');
  }
  return seen;
}
