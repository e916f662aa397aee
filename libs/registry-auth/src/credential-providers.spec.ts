import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  type CredentialProviderConfig,
  CredentialProviderConfigError,
  CredentialProviders,
  loadCredentialProviderConfig,
  type LookupOptions,
  type PodServiceAccount,
  type ProviderRun,
  type SourceProblem,
} from './index';

const v1 = 'credentialprovider.kubelet.k8s.io/v1';

let dir: string;
let binDir: string;
let problems: SourceProblem[];
let runs: ProviderRun[];
let nowMs: number;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-plugins-'));
  binDir = path.join(dir, 'bin');
  mkdirSync(binDir);
  problems = [];
  runs = [];
  nowMs = 0;
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A plugin that keeps each request in `<name>.log` and runs the script. */
const plugin = (name: string, script: string): void =>
  writeFileSync(
    path.join(binDir, name),
    `#!/bin/sh\nrequest=$(cat)\necho "$request" >> ${dir}/${name}.log\n${script}\n`,
    { mode: 0o755 },
  );
const requests = (name: string): unknown[] =>
  readFileSync(path.join(dir, `${name}.log`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
const response = (more: object = {}): object => ({
  kind: 'CredentialProviderResponse',
  apiVersion: v1,
  cacheKeyType: 'Registry',
  auth: { 'r.io': { username: 'u', password: 'p' } },
  ...more,
});
const answering = (more: object = {}): string =>
  `cat <<'END'\n${JSON.stringify(response(more))}\nEND`;

const provider = (more: object = {}): object => ({
  name: 'one',
  matchImages: ['r.io', '*.r.io'],
  defaultCacheDuration: '10m',
  apiVersion: v1,
  ...more,
});
const configText = (providers: object[], more: object = {}): string =>
  JSON.stringify({
    kind: 'CredentialProviderConfig',
    apiVersion: 'kubelet.config.k8s.io/v1',
    providers,
    ...more,
  });
const load = (...providers: object[]): CredentialProviderConfig => {
  const file = path.join(dir, 'config.json');
  writeFileSync(file, configText(providers));
  return loadCredentialProviderConfig(file, binDir);
};
const keyring = (config: CredentialProviderConfig, timeoutMs?: number): CredentialProviders =>
  new CredentialProviders(config, {
    onProblem: (problem) => void problems.push(problem),
    onRun: (run) => void runs.push(run),
    now: () => nowMs,
    timeoutMs,
  });
const users = async (
  from: CredentialProviders,
  image: string,
  options?: LookupOptions,
): Promise<string[]> =>
  (await from.lookup(image, options)).map(({ auth: { username = '' } }) => username);

describe('the plugin configuration', () => {
  beforeEach(() => plugin('one', ''));

  it('is read as kubelet reads it: the first document, YAML 1.1, no key twice', () => {
    const file = path.join(dir, 'first.yaml');
    const text = (more: string) => `kind: CredentialProviderConfig
apiVersion: kubelet.config.k8s.io/v1
providers:
  - name: one
    matchImages: ['*.r.io']
    defaultCacheDuration: 1h
    apiVersion: credentialprovider.kubelet.k8s.io/v1
${more}`;
    writeFileSync(file, text('---\nkind: [\n'));
    const config = loadCredentialProviderConfig(file, binDir);
    expect(config.providers.map(({ name }) => name)).toEqual(['one']);
    expect(config.warnings).toEqual([`${file}: the file has 2 documents; only the first counts`]);
    writeFileSync(
      file,
      text(
        '    tokenAttributes: {requireServiceAccount: yes, cacheType: Token, serviceAccountTokenAudience: a}',
      ),
    );
    const [provider] = loadCredentialProviderConfig(file, binDir).providers;
    expect(provider?.tokenAttributes?.requireServiceAccount).toBe(true);
    writeFileSync(file, text('    name: two'));
    expect(() => loadCredentialProviderConfig(file, binDir)).toThrow(
      `error decoding credential provider config "${file}": the key providers.0.name stands twice`,
    );
  });

  it('is read from YAML and JSON, file or folder, in the order of the names', () => {
    plugin('two', '');
    const folder = path.join(dir, 'conf');
    mkdirSync(path.join(folder, 'sub.json'), { recursive: true });
    writeFileSync(path.join(folder, 'ignored.txt'), 'x');
    const b = configText([provider({ name: 'two' })]);
    const a = `kind: CredentialProviderConfig
apiVersion: kubelet.config.k8s.io/v1beta1
providers:
  - name: one
    matchImages: ['*.r.io']
    defaultCacheDuration: 1h30m
    apiVersion: credentialprovider.kubelet.k8s.io/v1alpha1
    args: [get]
    env: [{name: A, value: b}]
`;
    writeFileSync(path.join(folder, 'b.json'), b);
    writeFileSync(path.join(folder, 'a.yaml'), a);
    const config = loadCredentialProviderConfig(folder, binDir);
    expect(config.providers.map(({ name }) => name)).toEqual(['one', 'two']);
    expect(config.providers[0]).toEqual({
      name: 'one',
      program: path.join(binDir, 'one'),
      matchImages: ['*.r.io'],
      defaultCacheMs: 5_400_000,
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1alpha1',
      args: ['get'],
      env: { A: 'b' },
    });
    const hash = createHash('sha256');
    for (const text of [a, b]) {
      const length = Buffer.alloc(8);
      length.writeUInt32BE(text.length, 4);
      hash.update(length).update(text);
    }
    expect(config.hash).toBe(`sha256:${hash.digest('hex')}`);
  });

  const tokenAttributes = {
    serviceAccountTokenAudience: 'a',
    cacheType: 'Token',
    requireServiceAccount: true,
  };

  it.each<[string, object[], string]>([
    ['no provider', [], 'providers: Required value: at least 1 item in plugins is required'],
    ['no name', [provider({ name: '' })], 'providers.name: Required value'],
    [
      'a name that is a path',
      [provider({ name: '../x y' })],
      `[providers.name: Invalid value: "../x y": provider name cannot contain '/', providers.name: Invalid value: "../x y": provider name cannot contain spaces]`,
    ],
    [
      'a name that is a folder',
      [provider({ name: '..' })],
      `providers.name: Invalid value: "..": provider name cannot be '..'`,
    ],
    ['a name twice', [provider(), provider()], 'providers.name: Duplicate value: "one"'],
    [
      'no image',
      [provider({ matchImages: [] })],
      'providers.matchImages: Required value: at least 1 item in matchImages is required',
    ],
    [
      'an image that does not parse',
      [provider({ matchImages: ['r.io:x'] })],
      'providers.matchImages: Invalid value: "r.io:x": match image is invalid: not a host with a path',
    ],
    [
      'no cache duration',
      [provider({ defaultCacheDuration: undefined })],
      'providers.defaultCacheDuration: Required value',
    ],
    [
      'a negative cache duration',
      [provider({ defaultCacheDuration: '-1s' })],
      'providers.defaultCacheDuration: Invalid value: "-1s": must be greater than or equal to 0',
    ],
    [
      'no duration',
      [provider({ defaultCacheDuration: '5' })],
      'providers.defaultCacheDuration: Invalid value: "5": must be a duration like 10m',
    ],
    ['no API version', [provider({ apiVersion: '' })], 'providers.apiVersion: Required value'],
    [
      'another API version',
      [provider({ apiVersion: 'v9' })],
      `providers.apiVersion: Unsupported value: "v9": supported values: "${v1}", "${v1}alpha1", "${v1}beta1"`,
    ],
    [
      'token attributes of an older plugin version',
      [provider({ apiVersion: `${v1}beta1`, tokenAttributes })],
      `providers.tokenAttributes: Forbidden: tokenAttributes is only supported for kubelet.config.k8s.io/v1 and ${v1}`,
    ],
    [
      'empty token attributes',
      [provider({ tokenAttributes: {} })],
      '[providers.tokenAttributes.serviceAccountTokenAudience: Required value, providers.tokenAttributes.cacheType: Required value, providers.tokenAttributes.requireServiceAccount: Required value]',
    ],
    [
      'an unknown cache type',
      [provider({ tokenAttributes: { ...tokenAttributes, cacheType: 'Pod' } })],
      'providers.tokenAttributes.cacheType: Unsupported value: "Pod": supported values: "ServiceAccount", "Token"',
    ],
    [
      'annotations of a service account that need not be',
      [
        provider({
          tokenAttributes: {
            ...tokenAttributes,
            requireServiceAccount: false,
            requiredServiceAccountAnnotationKeys: ['a'],
          },
        }),
      ],
      'providers.tokenAttributes.requiredServiceAccountAnnotationKeys: Forbidden: requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set',
    ],
    [
      'annotation keys that are wrong, repeated and in both lists',
      [
        provider({
          tokenAttributes: {
            ...tokenAttributes,
            requiredServiceAccountAnnotationKeys: ['a.b/c', 'a.b/c', '-x'],
            optionalServiceAccountAnnotationKeys: ['a.b/c'],
          },
        }),
      ],
      '[providers.tokenAttributes.requiredServiceAccountAnnotationKeys: Duplicate value: "a.b/c", providers.tokenAttributes.requiredServiceAccountAnnotationKeys: Invalid value: "-x": must be a qualified name, providers.tokenAttributes.optionalServiceAccountAnnotationKeys: Invalid value: "a.b/c": annotation key cannot be both required and optional]',
    ],
  ])('with %s is refused', (_, providers, reason) => {
    expect(() => load(...providers)).toThrow(
      new CredentialProviderConfigError(`failed to validate credential provider config: ${reason}`),
    );
  });

  it.each<[string, string, string]>([
    [
      'an unknown field',
      configText([provider({ matchImage: [] })]),
      'providers.0: Unrecognized key: "matchImage"',
    ],
    [
      'another kind',
      configText([], { kind: 'Pod' }),
      'kind: Invalid input: expected "CredentialProviderConfig"',
    ],
    ['a repeated key', '{"kind":"a","kind":"b"}', 'the key kind stands twice'],
    ['no text at all', '', 'Invalid input: expected object, received null'],
  ])('with %s is refused', (_, text, reason) => {
    const file = path.join(dir, 'config.json');
    writeFileSync(file, text);
    expect(() => loadCredentialProviderConfig(file, binDir)).toThrow(
      `error decoding credential provider config "${file}": ${reason}`,
    );
  });

  it('needs its program, its folder and its files', () => {
    const file = path.join(dir, 'config.json');
    expect(() => load(provider({ name: 'absent' }))).toThrow(
      `plugin binary executable ${path.join(binDir, 'absent')} did not exist`,
    );
    writeFileSync(path.join(binDir, 'plain'), '', { mode: 0o644 });
    expect(() => load(provider({ name: 'plain' }))).toThrow('did not exist');
    expect(() => loadCredentialProviderConfig(file, '/absent')).toThrow(
      'plugin binary directory /absent did not exist',
    );
    expect(() => loadCredentialProviderConfig('', binDir)).toThrow(
      'credential provider config path is empty',
    );
    expect(() => loadCredentialProviderConfig('/absent', binDir)).toThrow(
      'credential provider config "/absent" does not exist',
    );
    expect(() => loadCredentialProviderConfig(binDir, binDir)).toThrow(
      `no configuration files found in directory "${binDir}"`,
    );
    const folder = path.join(dir, 'twice');
    mkdirSync(folder);
    for (const name of ['a.json', 'b.yml'])
      writeFileSync(path.join(folder, name), configText([provider()]));
    expect(() => loadCredentialProviderConfig(folder, binDir)).toThrow(
      'duplicate provider name "one" found in configuration file(s)',
    );
  });
});

describe('plugins', () => {
  it('are asked in the v1 protocol, with arguments and environment, where their images match', async () => {
    plugin('one', `test "$1 $EXTRA" = 'get yes' || exit 9\n${answering()}`);
    const from = keyring(load(provider({ args: ['get'], env: [{ name: 'EXTRA', value: 'yes' }] })));
    expect(await users(from, 'other.io/x')).toEqual([]);
    expect(runs).toEqual([]);
    const [credential] = await from.lookup('r.io/a');
    expect({ ...credential!.auth }).toEqual({ username: 'u', password: 'p' });
    expect(credential!.source).toEqual({ kind: 'credential-provider', provider: 'one' });
    expect(requests('one')).toEqual([
      { kind: 'CredentialProviderRequest', apiVersion: v1, image: 'r.io/a' },
    ]);
    expect(runs).toEqual([
      { provider: 'one', durationMs: expect.any(Number) as number, failed: false },
    ]);
    expect(problems).toEqual([]);
  });

  it('answer patterns that must match the image again, all plugins in one order', async () => {
    const entry = (username: string) => ({ username, password: 'p' });
    plugin(
      'one',
      answering({ auth: { 'a.r.io': entry('one'), 'b.r.io': entry('no'), 'a.r.io/x': null } }),
    );
    plugin('two', answering({ auth: { 'a.r.io': entry('two'), '*.r.io': entry('star') } }));
    const from = keyring(load(provider(), provider({ name: 'two' })));
    expect(await users(from, 'a.r.io/x')).toEqual(['', 'one', 'two', 'star']);
  });

  it.each([
    ['Image', ['r.io/a', 'r.io/a', 'r.io/b', 's.r.io/a'], 3],
    ['Registry', ['r.io/a', 'r.io/b', 's.r.io/a'], 2],
    ['Global', ['r.io/a', 'r.io/b', 's.r.io/a'], 1],
  ])('keep answers of cache key type %s', async (cacheKeyType, images, count) => {
    plugin('one', answering({ cacheKeyType }));
    const from = keyring(load(provider()));
    for (const image of images) await from.lookup(image);
    expect(requests('one')).toHaveLength(count);
  });

  it.each<[string, object, object, number, number]>([
    ['as long as the answer says', { cacheDuration: '1m' }, {}, 60_000, 60_001],
    ['as long as the configuration says', {}, { defaultCacheDuration: '2s' }, 2_000, 2_001],
    ['an empty answer too', { auth: {}, cacheDuration: '1m' }, {}, 60_000, 60_001],
  ])('keep an answer %s', async (_, answer, config, lastMs, goneMs) => {
    plugin('one', answering(answer));
    const from = keyring(load(provider(config)));
    await from.lookup('r.io/a');
    nowMs = lastMs;
    await from.lookup('r.io/a');
    expect(requests('one')).toHaveLength(1);
    nowMs = goneMs;
    await from.lookup('r.io/a');
    expect(requests('one')).toHaveLength(2);
  });

  it('keep no answer for longer where the clock is set back', async () => {
    plugin('one', answering({ cacheDuration: '1m' }));
    const wall = jest.spyOn(Date, 'now').mockReturnValue(Date.UTC(2026, 10, 20));
    const steady = jest.spyOn(performance, 'now').mockReturnValue(0);
    const from = new CredentialProviders(load(provider()));
    await from.lookup('r.io/a');
    wall.mockReturnValue(Date.UTC(2026, 10, 19));
    steady.mockReturnValue(60_000);
    await from.lookup('r.io/a');
    expect(requests('one')).toHaveLength(1);
    steady.mockReturnValue(60_001);
    await from.lookup('r.io/a');
    jest.restoreAllMocks();
    expect(requests('one')).toHaveLength(2);
  });

  it.each<[string, object, object]>([
    ['asked not to', { cacheDuration: '0s' }, {}],
    ['the default is 0', {}, { defaultCacheDuration: '0' }],
  ])('keep no answer when %s', async (_, answer, config) => {
    plugin('one', answering(answer));
    const from = keyring(load(provider(config)));
    await from.lookup('r.io/a');
    await from.lookup('r.io/a');
    expect(requests('one')).toHaveLength(2);
  });

  it('run once for look-ups of one image at a time', async () => {
    plugin('one', answering({ cacheDuration: '0s' }));
    const from = keyring(load(provider()));
    const lists = await Promise.all(Array.from({ length: 20 }, () => users(from, 'r.io/a')));
    expect(lists).toEqual(Array.from({ length: 20 }, () => ['u']));
    expect(requests('one')).toHaveLength(1);
  });

  const failing = 'error execing credential provider plugin one for image r.io/a: ';
  it.each<[string, string, string]>([
    ['fails', 'echo broken >&2; exit 3', `${failing}exit status 3: broken`],
    ['takes too long', 'exec sleep 60', `${failing}took longer than 300 ms`],
    [
      'says no JSON',
      'echo hunter2',
      'error decoding credential provider plugin response from stdout: not JSON',
    ],
    [
      'says a list',
      'echo [1]',
      'error decoding credential provider plugin response from stdout: wanted an object',
    ],
    [
      'says another kind',
      answering({ kind: 'Pod' }),
      'failed to decode CredentialProviderResponse, unexpected Kind: Pod',
    ],
    [
      'says another version',
      answering({ apiVersion: `${v1}beta1` }),
      `apiVersion from credential plugin response did not match expected apiVersion:${v1}, actual apiVersion:${v1}beta1`,
    ],
    [
      'says another cache key type',
      answering({ cacheKeyType: 'hunter2!' }),
      'credential provider plugin did not return a valid cacheKeyType: not a name',
    ],
    [
      'says a wrong duration',
      answering({ cacheDuration: 5 }),
      'error decoding credential provider plugin response from stdout: cacheDuration is not a text',
    ],
    [
      'says a wrong entry',
      answering({ auth: { 'r.io': 'hunter2' } }),
      'error decoding credential provider plugin response from stdout: an entry of auth is not an object',
    ],
    [
      'says a wrong password',
      answering({ auth: { 'r.io': { password: 5 } } }),
      'error decoding credential provider plugin response from stdout: password is not a text',
    ],
    [
      'says two answers',
      `${answering()}\necho '{}'`,
      'error decoding credential provider plugin response from stdout: something follows the JSON object',
    ],
    [
      'says a byte order mark first',
      `printf '\\357\\273\\277'; ${answering()}`,
      'error decoding credential provider plugin response from stdout: it begins with a byte order mark (U+FEFF), which JSON does not allow',
    ],
    [
      'says nothing',
      'true',
      'error decoding credential provider plugin response from stdout: it is empty',
    ],
    [
      'says a duration without unit',
      answering({ cacheDuration: '600' }),
      'error decoding credential provider plugin response from stdout: cacheDuration is not a duration like 10m',
    ],
    [
      'says a list of entries',
      answering({ auth: [] }),
      'error decoding credential provider plugin response from stdout: auth is not an object',
    ],
    [
      'names its fields in another case, which kubelet does not take',
      `cat <<'END'\n${JSON.stringify(response()).replace('cacheKeyType', 'CacheKeyType')}\nEND`,
      'credential provider plugin did not return a valid cacheKeyType: ',
    ],
    ['prints without end', 'exec cat /dev/zero', `${failing}printed more than 1048576 bytes`],
    ['reports without end', 'exec cat /dev/zero >&2', `${failing}printed more than 1048576 bytes`],
  ])('one that %s is reported, the others go on', async (_, script, reason) => {
    plugin('one', script);
    plugin('two', answering());
    const from = keyring(
      load(provider(), provider({ name: 'two' })),
      script.includes('sleep') ? 300 : undefined,
    );
    expect(await users(from, 'r.io/a')).toEqual(['u']);
    expect(problems).toEqual([{ kind: 'credential-provider', name: 'one', reason }]);
    expect(runs.filter(({ failed }) => failed).map((run) => run.provider)).toEqual(['one']);
  });

  it.each<[string, string]>([
    [
      'kind and version in another case',
      JSON.stringify(response())
        .replace('"kind"', '"Kind"')
        .replace('"apiVersion"', '"APIVERSION"'),
    ],
    ['fields that nobody knows', JSON.stringify(response({ more: { a: [1] }, status: null }))],
    ['null for what may be absent', JSON.stringify(response({ cacheDuration: null }))],
    [
      'null in an entry',
      JSON.stringify(response({ auth: { 'r.io': { username: 'u', password: null } } })),
    ],
    ['other line ends and blanks', `\r\n ${JSON.stringify(response(), null, 2)}\r\n\t`],
    ['a duration in other units', JSON.stringify(response({ cacheDuration: '+1.5h30m.5s' }))],
    [
      'entries in two parts',
      JSON.stringify(response()).replace(/}$/, ',"auth":{"q.io":{"username":"q"}}}'),
    ],
    ['escapes', JSON.stringify(response()).replaceAll('r.io', 'r\\u002eio')],
  ])('are understood with %s', async (_, answer) => {
    writeFileSync(path.join(dir, 'answer'), answer);
    plugin('one', `cat ${dir}/answer`);
    expect(await users(keyring(load(provider())), 'r.io/a')).toEqual(['u']);
    expect(problems).toEqual([]);
  });

  it('one that cannot run is reported, and no shell runs what is in it', async () => {
    const file = path.join(binDir, 'one');
    writeFileSync(file, `touch ${dir}/ran\n${answering()}\n`, { mode: 0o755 });
    expect(await users(keyring(load(provider())), 'r.io/a')).toEqual([]);
    expect(existsSync(path.join(dir, 'ran'))).toBe(false);
    expect(problems).toEqual([
      {
        kind: 'credential-provider',
        name: 'one',
        reason: `${failing}cannot be started: it is no program: neither in the format of this system (ELF) nor a script that begins with "#!"`,
      },
    ]);
    expect(runs).toMatchObject([{ provider: 'one', failed: true }]);
  });

  it('one that fails is reported without the secrets of its environment and its answer', async () => {
    plugin(
      'one',
      `${answering({ auth: { 'r.io': { password: 'hunter2-answer' } } })}
echo "key $API_KEY in $REGION gave hunter2-answer" >&2; exit 1`,
    );
    const env = [
      { name: 'API_KEY', value: 'hunter2-key' },
      { name: 'REGION', value: 'eu-west-1' },
    ];
    expect(await users(keyring(load(provider({ env }))), 'r.io/a')).toEqual([]);
    expect(problems[0]!.reason).toBe(
      `${failing}exit status 1: key [redacted] in eu-west-1 gave [redacted]`,
    );
  });

  it('one that went away after the start is reported', async () => {
    plugin('one', answering());
    const from = keyring(load(provider()));
    rmSync(path.join(binDir, 'one'));
    expect(await users(from, 'r.io/a')).toEqual([]);
    expect(problems[0]!.reason).toBe(`${failing}cannot be started: ENOENT`);
  });

  it('end with the last look-up that gives up', async () => {
    plugin('one', `echo started >> ${dir}/started; exec sleep 60`);
    const from = keyring(load(provider()));
    const controller = new AbortController();
    const lookup = from.lookup('r.io/a', { signal: controller.signal });
    controller.abort(new Error('given up'));
    await expect(lookup).rejects.toThrow('given up');
    expect(problems).toEqual([]);
  });
});

describe('service account tokens', () => {
  const secret = 'hunter2-token';
  const account = (more: Partial<PodServiceAccount> = {}): PodServiceAccount => ({
    namespace: 'ns',
    name: 'builder',
    uid: 'u1',
    annotations: { 'r.io/id': '7', other: 'x' },
    token: (audience) => Promise.resolve(`${secret}-${audience}`),
    ...more,
  });
  const attributes = (more: object = {}): object => ({
    tokenAttributes: {
      serviceAccountTokenAudience: 'aud',
      cacheType: 'Token',
      requireServiceAccount: true,
      requiredServiceAccountAnnotationKeys: ['r.io/id'],
      optionalServiceAccountAnnotationKeys: ['r.io/more'],
      ...more,
    },
  });

  it('go to the plugin with the annotations it asked for, and name the account as source', async () => {
    plugin('one', answering());
    const [credential] = await keyring(load(provider(attributes()))).lookup('r.io/a', {
      serviceAccount: account(),
    });
    expect(requests('one')).toEqual([
      {
        kind: 'CredentialProviderRequest',
        apiVersion: v1,
        image: 'r.io/a',
        serviceAccountToken: `${secret}-aud`,
        serviceAccountAnnotations: { 'r.io/id': '7' },
      },
    ]);
    expect(credential!.source).toEqual({
      kind: 'credential-provider',
      provider: 'one',
      serviceAccount: { namespace: 'ns', name: 'builder', uid: 'u1' },
    });
  });

  it('are not asked for where the account or a required annotation is missing', async () => {
    plugin('one', answering());
    const from = keyring(load(provider(attributes())));
    expect(await users(from, 'r.io/a')).toEqual([]);
    const bare = account({
      annotations: Object.create({ 'r.io/id': 'inherited' }) as Record<string, string>,
    });
    expect(await users(from, 'r.io/a', { serviceAccount: bare })).toEqual([]);
    expect(runs).toEqual([]);
    expect(problems).toEqual([]);
  });

  it('are left out for a pod without account when none is required', async () => {
    plugin('one', answering());
    const optional = { requireServiceAccount: false, requiredServiceAccountAnnotationKeys: [] };
    expect(await users(keyring(load(provider(attributes(optional)))), 'r.io/a')).toEqual(['u']);
    expect(requests('one')[0]).not.toHaveProperty('serviceAccountToken');
  });

  it('that cannot be had are reported', async () => {
    plugin('one', answering());
    const serviceAccount = account({ token: () => Promise.reject(new Error('forbidden')) });
    expect(
      await users(keyring(load(provider(attributes()))), 'r.io/a', { serviceAccount }),
    ).toEqual([]);
    expect(problems[0]!.reason).toBe('failed to get service account token: forbidden');
  });

  it.each([
    ['Token', { token: () => Promise.resolve('other') }, 2],
    ['Token', { annotations: { 'r.io/id': '8' } }, 2],
    ['ServiceAccount', { token: () => Promise.resolve('other') }, 1],
    ['ServiceAccount', { uid: 'u2' }, 2],
    ['ServiceAccount', { annotations: { 'r.io/id': '7', 'not/asked': 'x' } }, 1],
  ])('keep answers apart by cache type %s (%j)', async (cacheType, change, count) => {
    plugin('one', answering());
    const from = keyring(load(provider(attributes({ cacheType }))));
    await from.lookup('r.io/a', { serviceAccount: account() });
    await from.lookup('r.io/b', { serviceAccount: account(change) });
    expect(requests('one')).toHaveLength(count);
  });

  it('are no password, except where answers are kept for the token alone', async () => {
    plugin('one', answering({ auth: { 'r.io': { username: 'u', password: `${secret}-aud` } } }));
    const lookup = async (cacheType: string) =>
      await users(keyring(load(provider(attributes({ cacheType })))), 'r.io/a', {
        serviceAccount: account(),
      });
    expect(await lookup('Token')).toEqual(['u']);
    expect(await lookup('ServiceAccount')).toEqual([]);
    expect(problems[0]!.reason).toBe(
      "credential provider plugin returned the service account token as the password which is not allowed when service account cache type is not set to 'Token'",
    );
  });

  it('never stand in a report', async () => {
    plugin('one', 'echo "$request" >&2; exit 1');
    await keyring(load(provider(attributes()))).lookup('r.io/a', { serviceAccount: account() });
    expect(problems).toHaveLength(1);
    expect(problems[0]!.reason).toContain('[redacted]');
    expect(problems[0]!.reason).not.toContain(secret);
  });
});
