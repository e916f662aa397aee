import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Cluster, named, onePod, pushPrivate, recordedFor, type Login } from '../cluster';
import { ofStowage } from '../compare';
import { Kubelet } from '../kubelet';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const running = 'Running; main: running, ready';
const refused = 'Pending; main: ImagePullBackOff';

const audience = 'registry.example';
const role = 'registry.example/role';
const team = 'registry.example/team';

/** Accounts with what their annotations say. */
const accounts = [
  { namespace: 'shop', name: 'puller', annotations: { [role]: 'puller', [team]: 'red' } },
  { namespace: 'bank', name: 'puller', annotations: { [role]: 'puller' } },
  { namespace: 'shop', name: 'reader', annotations: { [role]: 'reader' } },
  { namespace: 'shop', name: 'plain', annotations: { [team]: 'red' } },
] as const;

/** Pods of accounts, one after the other. */
const cases = [
  { name: 'puller', namespace: 'shop', what: 'with the annotations', state: running },
  { name: 'plain', namespace: 'shop', what: 'without a needed annotation', state: refused },
  { name: 'default', namespace: 'shop', what: 'without annotations', state: refused },
  { name: 'reader', namespace: 'shop', what: 'whom the plugin gives nothing', state: refused },
  { name: 'puller', namespace: 'shop', what: 'with the annotations, again', state: running },
  { name: 'puller', namespace: 'bank', what: 'of the same name elsewhere', state: running },
] as const;

const title = ({ namespace, name, what }: (typeof cases)[number]): string =>
  `account ${namespace}/${name}, ${what}`;

export const accountTokens: Scenario = {
  name: 'account-tokens',
  text: "a credential provider that takes service-account tokens: kubelet's, and image-service's own",
  needs: 'api-server',
  expected: {
    ...Object.fromEntries(cases.map((one) => [`${title(one)}: state`, one.state])),
    'account shop/puller, with the annotations: what kubelet records':
      'service account shop/puller',
    'account bank/puller, of the same name elsewhere: what kubelet records':
      'service account bank/puller, service account shop/puller',
    'a node that may not ask for the audience: state': refused,
    'a node that may not ask for the audience: plugin': 'not asked',
    'static pod, which has no account: state': refused,
    'tokens, as the API server reviews them': `authenticated for ${audience}`,
    // image-service sees no account of a pod, so its plugins get no token.
    [`${ofStowage}its plugin that requires an account`]: refused,
    [`${ofStowage}its plugin that requires an account, asked`]: 'not asked',
    [`${ofStowage}its plugin that requires none`]: running,
    [`${ofStowage}its plugin that requires none, asked`]: 'without token',
    [`${ofStowage}its plugin that requires none, what kubelet records`]: 'all pods of the node',
  },
  async play(lab) {
    const { auth } = lab.stack.registry;
    const login: Login = { host: auth.host, username: auth.username, password: auth.password };
    const image = await pushPrivate(lab, 'tokens/app');
    const plugin = new Plugin(lab, 'kubelet-plugin', login, `${auth.host}/tokens`);
    return Cluster.with(
      lab,
      async (cluster) => {
        for (const namespace of ['shop', 'bank']) await cluster.namespace(namespace);
        for (const { namespace, name, annotations } of accounts) {
          await cluster.account(namespace, name, annotations);
        }
        const seen: Record<string, string> = {};
        const see = async (part: string, namespace: string, account: string, state: string) => {
          const spec = onePod(image, { pod: { serviceAccountName: account } });
          const name = `pod-${Object.keys(seen).length}`;
          const before = plugin.requests().length;
          Object.assign(seen, named(part, await cluster.seenOf({ namespace, name, spec }, state)));
          seen[`${part}: plugin`] = plugin.requestsSince(before, `${namespace}:${account}`);
          seen[`${part}: what kubelet records`] = recordedFor(lab, image);
        };
        await see('a node that may not ask for the audience', 'shop', 'puller', refused);
        await cluster.deletePod('shop', 'pod-0');
        await allowAudience(cluster);
        for (const one of cases) await see(title(one), one.namespace, one.name, one.state);
        lab.addPod({ metadata: { name: 'static', namespace: 'shop' }, spec: onePod(image) });
        seen['static pod, which has no account: state'] = await cluster.stateOf(
          'shop',
          `static-${Kubelet.node}`,
          refused,
        );
        seen['tokens, as the API server reviews them'] = await reviewed(cluster, plugin);
        if (lab.way.services.includes('image-service')) {
          Object.assign(seen, await pluginsOfImageService(cluster, login));
        }
        return seen;
      },
      { flags: plugin.flags(true) },
    );
  },
};

/**
 * A node may ask for tokens with audiences of its pods' volumes alone, unless a role says
 * otherwise.
 */
async function allowAudience({ api }: Cluster): Promise<void> {
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const name = 'pulls-with-tokens';
  await api.create(`${rbac}/clusterroles`, {
    metadata: { name },
    rules: [
      { apiGroups: [''], resources: [audience], verbs: ['request-serviceaccounts-token-audience'] },
    ],
  });
  await api.create(`${rbac}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:nodes' }],
  });
}

/** What the API server says of the tokens that the plugin got. */
async function reviewed({ api }: Cluster, plugin: Plugin): Promise<string> {
  const said = new Set<string>();
  for (const { serviceAccountToken: token } of plugin.requests()) {
    const { status } = await api.ask<{
      status: { authenticated?: boolean; audiences?: readonly string[] };
    }>('/apis/authentication.k8s.io/v1/tokenreviews', {
      method: 'POST',
      body: { spec: { token, audiences: [audience] } },
    });
    const how = status.authenticated === true ? 'authenticated' : 'refused';
    said.add(`${how} for ${(status.audiences ?? []).join(', ')}`);
  }
  return [...said].sort().join('; ') || 'none';
}

/** Plugins that image-service runs itself, beside kubelet's. */
async function pluginsOfImageService(
  cluster: Cluster,
  login: Login,
): Promise<Record<string, string>> {
  const { lab } = cluster;
  const seen: Record<string, string> = {};
  try {
    for (const requires of [true, false]) {
      const name = requires ? 'requires' : 'requires-none';
      const part = `${ofStowage}its plugin that ${requires ? 'requires an account' : 'requires none'}`;
      const image = await pushPrivate(lab, `${name}/app`);
      const plugin = new Plugin(lab, name, login, `${login.host}/${name}`);
      const [, config = '', , folder = ''] = plugin.flags(requires);
      await lab.service('image-service').stop();
      await lab.startService('image-service', {
        STOWAGE_IMAGE_CREDENTIAL_PROVIDER_CONFIG: config,
        STOWAGE_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR: folder,
      });
      const spec = onePod(image, { pod: { serviceAccountName: 'puller' } });
      await cluster.addPod({ namespace: 'shop', name, spec });
      seen[part] = await cluster.stateOf('shop', name, requires ? refused : running);
      seen[`${part}, asked`] = plugin.requestsSince(0);
      seen[`${part}, what kubelet records`] = recordedFor(lab, image);
    }
  } finally {
    await lab.restartService('image-service');
  }
  return seen;
}

interface PluginRequest {
  readonly image: string;
  readonly serviceAccountToken?: string;
  readonly serviceAccountAnnotations?: Readonly<Record<string, string>>;
}

/**
 * A plugin that keeps what it was asked, in its own folder. It gives a login to accounts whose role
 * is "puller", and without a token to everybody.
 */
class Plugin {
  readonly #folder: string;
  readonly #requests: string;

  constructor(
    private readonly lab: Lab,
    private readonly name: string,
    { host, username, password }: Login,
    private readonly matchImages: string,
  ) {
    this.#folder = path.join(lab.stack.dir, name);
    this.#requests = path.join(this.#folder, 'requests');
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const answer = {
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      kind: 'CredentialProviderResponse',
      cacheKeyType: 'Image',
      auth: { [host]: { username, password } },
    };
    const program = `#!${process.execPath}
const { appendFileSync, readFileSync } = require('node:fs');
const request = JSON.parse(readFileSync(0, 'utf8'));
appendFileSync(${JSON.stringify(this.#requests)}, JSON.stringify(request) + '\\n', { mode: 0o600 });
const { serviceAccountToken, serviceAccountAnnotations = {} } = request;
const answer = ${JSON.stringify(answer)};
if (serviceAccountToken && serviceAccountAnnotations[${JSON.stringify(role)}] !== 'puller') answer.auth = {};
process.stdout.write(JSON.stringify(answer));
`;
    writeFileSync(path.join(this.#folder, name), program, { mode: 0o700 });
  }

  /** Flags of kubelet that switch it on: configuration and folder, each after its name. */
  flags(requireServiceAccount: boolean): string[] {
    const file = path.join(this.#folder, 'config.json');
    const config = {
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [
        {
          name: this.name,
          apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
          matchImages: [this.matchImages],
          defaultCacheDuration: '0s',
          tokenAttributes: {
            serviceAccountTokenAudience: audience,
            cacheType: 'ServiceAccount',
            requireServiceAccount,
            ...(requireServiceAccount && { requiredServiceAccountAnnotationKeys: [role] }),
            optionalServiceAccountAnnotationKeys: requireServiceAccount ? [team] : [role, team],
          },
        },
      ],
    };
    writeFileSync(file, JSON.stringify(config));
    return [
      ...['--image-credential-provider-config', file],
      ...['--image-credential-provider-bin-dir', this.#folder],
    ];
  }

  requests(): PluginRequest[] {
    if (!existsSync(this.#requests)) return [];
    const lines = readFileSync(this.#requests, 'utf8').trim().split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line) as PluginRequest);
  }

  /**
   * The requests from this number on, only with tokens of this account, because other pods retry
   * meanwhile. Equal requests appear once.
   */
  requestsSince(from: number, account = ''): string {
    const isOf = ({ serviceAccountToken: token }: PluginRequest): boolean =>
      account === '' || (token !== undefined && claimsOf(token).sub.endsWith(`:${account}`));
    const lines = this.requests()
      .slice(from)
      .filter(isOf)
      .map(({ image, serviceAccountToken: token, serviceAccountAnnotations: annotations }) => {
        if (token === undefined) return 'without token';
        const claims = claimsOf(token);
        const about = JSON.stringify(Object.entries(annotations ?? {}).sort());
        return `${this.lab.normalise(image)}: ${claims.sub} for ${claims.aud.join(', ')}, ${about}`;
      });
    return [...new Set(lines)].join('\n') || 'not asked';
  }
}

const claimsOf = (token: string): { sub: string; aud: string[] } =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
    sub: string;
    aud: string[];
  };
