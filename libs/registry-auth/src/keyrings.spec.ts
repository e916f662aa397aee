import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { inspect } from 'node:util';
import {
  concatKeyrings,
  DockerConfigFiles,
  type Keyring,
  kubeletSearch,
  type PullSecret,
  PullSecretDirectory,
  PullSecretError,
  pullSecretKeyring,
  type SourceProblem,
} from './index';

let dir: string;
let problems: SourceProblem[];
const onProblem = (problem: SourceProblem): void => void problems.push(problem);

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-keyring-'));
  problems = [];
});
afterEach(() => rmSync(dir, { recursive: true }));

const auth = (username: string, password = 'p'): string =>
  Buffer.from(`${username}:${password}`).toString('base64');
const configJson = (entries: Record<string, string>, more: object = {}): string =>
  JSON.stringify({
    auths: Object.fromEntries(
      Object.entries(entries).map(([key, username]) => [key, { auth: auth(username) }]),
    ),
    ...more,
  });
const write = (file: string, content: string, mode = 0o644): string => {
  const target = path.join(dir, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, content, { mode });
  return target;
};
/** Not gone, nor gone and only waiting for its parent to notice. */
const isRunning = (pid: string): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};
const users = async (keyring: Keyring, image = 'r.io/x'): Promise<string[]> =>
  (await keyring.lookup(image)).map(({ auth: { username = '' } }) => username);

describe('docker config files', () => {
  const search = () => ({
    configJsonDirs: [path.join(dir, 'a'), path.join(dir, 'b')],
    dockercfgDirs: [path.join(dir, 'a'), path.join(dir, 'b')],
  });

  it('looks where kubelet looks', () => {
    expect(kubeletSearch('/var/lib/kubelet', '/root')).toEqual({
      configJsonDirs: ['/var/lib/kubelet', '', '/root/.docker', '/.docker'],
      dockercfgDirs: ['/var/lib/kubelet', '', '/root', '/'],
    });
    expect(kubeletSearch('', undefined)).toEqual({
      configJsonDirs: ['', '', '.docker', '/.docker'],
      dockercfgDirs: ['', '', '', '/'],
    });
  });

  it('takes the first file that decodes: every config.json before any .dockercfg, nothing merged', async () => {
    write('a/.dockercfg', JSON.stringify({ 'r.io': { auth: auth('old') } }));
    const keyring = new DockerConfigFiles(search(), { onProblem });
    expect(await users(keyring)).toEqual(['old']);
    const file = write('b/config.json', configJson({ 'r.io': 'new' }));
    expect(await users(keyring)).toEqual(['new']);
    expect(keyring.inUse()).toEqual({ path: file, entries: 1 });
    expect((await keyring.lookup('r.io/x'))[0]!.source).toEqual({
      kind: 'docker-config',
      path: file,
    });
    write('a/config.json', '{}');
    expect(await users(keyring)).toEqual([]);
    expect(problems).toEqual([]);
  });

  it('reports an undecodable file once per change and goes on with the next', async () => {
    const broken = write('a/config.json', '{"auths":{"r.io":{"auth":"hunter2!"}}}');
    write('b/config.json', configJson({ 'r.io': 'good' }));
    const keyring = new DockerConfigFiles(search(), { onProblem });
    expect(await users(keyring)).toEqual(['good']);
    expect(await users(keyring)).toEqual(['good']);
    expect(problems).toEqual([
      {
        kind: 'docker-config',
        name: broken,
        reason: 'entry "r.io": illegal base64 data at input byte 7',
      },
    ]);
    write('a/config.json', 'x');
    expect(await users(keyring)).toEqual(['good']);
    expect(problems[1]).toEqual({ kind: 'docker-config', name: broken, reason: 'not JSON' });
  });

  const wanted = 'expected is {"auths": {"REGISTRY": {"auth": …}}}';
  const secretObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/dockerconfigjson',
    data: {
      '.dockerconfigjson': Buffer.from(configJson({ 'r.io': 'hunter2' })).toString('base64'),
    },
  };
  it.each([
    [
      'a byte order mark',
      Buffer.from(`\ufeff${configJson({ 'r.io': 'x' })}`),
      'it begins with a byte order mark (U+FEFF), which JSON does not allow',
    ],
    [
      'UTF-16',
      Buffer.from(`\ufeff${configJson({ 'r.io': 'x' })}`, 'utf16le'),
      'it is no text in UTF-8',
    ],
    ['nothing', '', 'it is empty'],
    [
      'the content of a .dockercfg',
      JSON.stringify({ 'r.io': { auth: 'eDp5' } }),
      `it is the content of a .dockercfg, with registries at the top; ${wanted}, or this content under .dockercfg`,
    ],
    [
      'a whole Secret object',
      JSON.stringify(secretObject),
      `it is a whole Secret object in JSON; ${wanted}, the decoded value of one of its data keys`,
    ],
    [
      'a whole Secret object in YAML',
      'apiVersion: v1\ndata:\n  .dockerconfigjson: e30=\nkind: Secret\n',
      `it is a whole Secret object in YAML; ${wanted}, the decoded value of one of its data keys`,
    ],
    [
      'what is still encoded',
      Buffer.from(configJson({ 'r.io': 'x' })).toString('base64'),
      `it is base64 of a JSON object; ${wanted}, decoded`,
    ],
  ])('reports a config.json that holds %s for what it is', async (_, content, reason) => {
    mkdirSync(path.join(dir, 'a'));
    const file = path.join(dir, 'a/config.json');
    writeFileSync(file, content);
    expect(await users(new DockerConfigFiles(search(), { onProblem }))).toEqual([]);
    expect(problems).toEqual([{ kind: 'docker-config', name: file, reason }]);
  });

  it('says nothing of a config.json without registries, as docker writes it', async () => {
    for (const content of [
      '{}',
      '{"auths":{}}',
      '{"credsStore":"x"}',
      '{"HttpHeaders":{"a":"b"}}',
    ]) {
      write('a/config.json', content);
      expect(await users(new DockerConfigFiles(search(), { onProblem }))).toEqual([]);
    }
    expect(problems).toEqual([]);
  });

  it('reports a file that cannot be read, and a key that cannot be parsed', async () => {
    mkdirSync(path.join(dir, 'a/config.json'), { recursive: true });
    const file = write('b/config.json', configJson({ 'r.io:port': 'x', 'r.io': 'good' }));
    const keyring = new DockerConfigFiles(search(), { onProblem });
    expect(await users(keyring)).toEqual(['good']);
    expect(problems.map(({ name, reason }) => [name, reason])).toEqual([
      [path.join(dir, 'a/config.json'), 'cannot be read: EISDIR'],
      [file, 'registry key "r.io:port" cannot be parsed'],
    ]);
  });

  it('is not held up by a pipe in place of a file', async () => {
    mkdirSync(path.join(dir, 'a'));
    execFileSync('mkfifo', [path.join(dir, 'a/config.json')]);
    write('b/config.json', configJson({ 'r.io': 'good' }));
    expect(await users(new DockerConfigFiles(search(), { onProblem }))).toEqual(['good']);
    expect(problems[0]!.reason).toBe('cannot be read: it is no regular file');
  });

  it('takes a change of the same length at once, and the absence of all files', async () => {
    const keyring = new DockerConfigFiles(search(), { onProblem });
    expect(await users(keyring)).toEqual([]);
    expect(keyring.inUse()).toBeUndefined();
    write('a/config.json', configJson({ 'r.io': 'one' }));
    expect(await users(keyring)).toEqual(['one']);
    write('a/config.json', configJson({ 'r.io': 'two' }));
    expect(await users(keyring)).toEqual(['two']);
    unlinkSync(path.join(dir, 'a/config.json'));
    expect(await users(keyring)).toEqual([]);
    expect(problems).toEqual([]);
  });
});

describe('docker credential helpers', () => {
  const helper = (name: string, script: string): void =>
    void write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`, 0o755);
  const files = (config: object, options: { timeoutMs?: number } = {}): DockerConfigFiles => {
    write('config.json', JSON.stringify(config));
    return new DockerConfigFiles(
      { configJsonDirs: [dir], dockercfgDirs: [] },
      { onProblem, helpers: { binDir: path.join(dir, 'bin'), ...options } },
    );
  };
  /** Answers with the verb and the server it was given. */
  const echo = `read -r server || true; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$1 $server\\",\\"Secret\\":\\"s\\"}"`;

  it.each([
    ['r.io/a/b', 'get r.io'],
    ['r.io:5000/a', 'get r.io:5000'],
    ['docker.io/library/nginx', 'get https://index.docker.io/v1/'],
  ])('asks for the registry of %s', async (image, username) => {
    helper('echo', echo);
    const [credential, ...rest] = await files({ credsStore: 'echo' }).lookup(image);
    expect(rest).toEqual([]);
    expect({ ...credential!.auth }).toEqual({ username, password: 's' });
    expect(credential!.source).toEqual({ kind: 'credential-helper', helper: 'echo' });
    expect(problems).toEqual([]);
  });

  it('prefers the helper set for a registry, then the store, and puts what stands in the file behind', async () => {
    helper('one', echo.replace('$1 $server', 'one'));
    helper('two', echo.replace('$1 $server', 'two'));
    const keyring = files({
      auths: { 'r.io': { auth: auth('file') }, 'q.io': {} },
      credHelpers: { 'r.io': 'one' },
      credsStore: 'two',
    });
    expect(await users(keyring, 'r.io/x')).toEqual(['one', 'file']);
    expect(await users(keyring, 'q.io/x')).toEqual(['two']);
  });

  it('reads a token user as an identity token', async () => {
    helper('token', `echo '{"Username":"<token>","Secret":"t"}'`);
    const [credential] = await files({ credsStore: 'token' }).lookup('r.io/x');
    expect({ ...credential!.auth }).toEqual({ identityToken: 't' });
  });

  it.each([
    ['names in another case', `echo '{"SERVERURL":"r.io","username":"u","secret":"s"}'`],
    ['fields that nobody knows', `echo '{"Username":"u","Secret":"s","Extra":{"a":[1]}}'`],
    ['more after the answer', `echo '{"Username":"u","Secret":"s"}'; echo '{}'; echo done`],
    ['a name twice', `echo '{"Username":"x","Secret":"s","username":"u"}'`],
    ['null', `echo '{"ServerURL":null,"Username":"u","Secret":"s","Username":null}'`],
    ['braces in its texts', `echo '{"Username":"u","Secret":"}{\\"}"}'`],
    ['other line ends', `printf '\\r\\n{"Username":"u",\\r\\n"Secret":"s"}\\r\\n'`],
  ])('understands an answer with %s', async (_, script) => {
    helper('odd', script);
    expect(await users(files({ credsStore: 'odd' }))).toEqual(['u']);
    expect(problems).toEqual([]);
  });

  it('takes "credentials not found" for no credential, also without a failure', async () => {
    helper('none', `echo 'credentials not found in native keychain'`);
    expect(await files({ credsStore: 'none' }).lookup('r.io/x')).toEqual([]);
    expect(problems).toEqual([]);
  });

  it('takes "credentials not found" for no credential', async () => {
    helper('none', `echo 'credentials not found in native keychain'; exit 1`);
    expect(await files({ credsStore: 'none' }).lookup('r.io/x')).toEqual([]);
    expect(problems).toEqual([]);
  });

  it.each([
    ['fails', `echo broken >&2; exit 3`, 'exit status 3: broken'],
    ['ends itself', `kill -9 $$`, 'signal: SIGKILL'],
    ['says no JSON', `echo hunter2`, 'its answer is not JSON'],
    [
      'says other JSON',
      `echo '{"Username":["hunter2"]}'`,
      'ServerURL, Username or Secret of its answer is not a text',
    ],
    ['says nothing', `true`, 'its answer cannot be read: it is empty'],
    ['says a list', `echo '["hunter2"]'`, 'its answer cannot be read: wanted an object'],
    [
      'says a byte order mark first',
      `printf '\\357\\273\\277{}'`,
      'its answer cannot be read: it begins with a byte order mark (U+FEFF), which JSON does not allow',
    ],
    [
      'wants another question',
      `echo 'no credentials server URL'; exit 1`,
      'exit status 1: no credentials server URL',
    ],
    ['prints without end', `exec cat /dev/zero`, 'printed more than 1048576 bytes'],
    ['does not end', `exec sleep 60`, 'took longer than 300 ms'],
    ['leaves a child with its pipes', `sleep 3 & exit 0`, 'took longer than 300 ms'],
  ])('reports a helper that %s and goes on', async (_, script, reason) => {
    helper('bad', script);
    const keyring = files(
      { auths: { 'r.io': { auth: auth('file') } }, credsStore: 'bad' },
      script.includes('sleep') ? { timeoutMs: 300 } : {},
    );
    expect(await users(keyring)).toEqual(['file']);
    expect(problems).toEqual([
      {
        kind: 'credential-helper',
        name: 'bad',
        reason: `docker-credential-bad get r.io: ${reason}`,
      },
    ]);
  });

  it.each([
    ['does not end', 'sleep 60 & echo $! > pid; wait'],
    ['prints without end', 'sleep 60 & echo $! > pid; cat /dev/zero'],
    ['has ended but for what it started', 'sleep 60 & echo $! > pid'],
  ])('ends with it what a helper that %s has started', async (_, script) => {
    helper('bad', `cd ${dir}; ${script}`);
    expect(await users(files({ credsStore: 'bad' }, { timeoutMs: 2500 }))).toEqual([]);
    expect(problems).toHaveLength(1);
    const pid = readFileSync(path.join(dir, 'pid'), 'utf8').trim();
    while (isRunning(pid)) await setTimeout(20); // the test's time limit ends it
  });

  it('repeats what a helper says when it fails, without secrets', async () => {
    helper(
      'bad',
      `echo '{"ServerURL":"r.io","Username":"ada","Secret":"hunter2-secret"}'
echo 'debug: got hunter2-secret for ada; Authorization: Basic YWRhOmh1bnRlcjI=' >&2
echo 'GET https://ada:hunter2@r.io/v2/?access_token=hunter2&scope=x password=hunter2' >&2
exit 1`,
    );
    expect(await users(files({ credsStore: 'bad' }))).toEqual([]);
    expect(problems[0]!.reason).toBe(
      'docker-credential-bad get r.io: exit status 1: debug: got [redacted] for ada; Authorization: Basic [redacted] GET https://ada:[redacted]@r.io/v2/?access_token=[redacted]&scope=x password=[redacted]',
    );
  });

  it('reports a helper that is not there, and a name that leads elsewhere', async () => {
    expect(await users(files({ credsStore: 'absent' }))).toEqual([]);
    expect(await users(files({ credsStore: '../../bin/sh' }))).toEqual([]);
    expect(problems.map(({ reason }) => reason)).toEqual([
      'docker-credential-absent get r.io: cannot be started: ENOENT',
      'docker-credential-../../bin/sh get r.io: a helper name is letters, digits, ".", "_" and "-"',
    ]);
  });

  it('runs once for look-ups of one registry at a time, and ends with the last that gives up', async () => {
    const started = path.join(dir, 'started');
    helper('slow', `echo x >> ${started}; read -r server || true; exec sleep 60`);
    const keyring = files({ credsStore: 'slow' });
    const [first, second] = [new AbortController(), new AbortController()];
    const lookups = [first, second].map(({ signal }) =>
      keyring.lookup('r.io/x', { signal }).catch((error: unknown) => String(error)),
    );
    first.abort(new Error('first left'));
    expect(await lookups[0]).toBe('Error: first left');
    second.abort(new Error('second left'));
    expect(await lookups[1]).toBe('Error: second left');
    helper('slow', echo);
    expect(await users(keyring)).toEqual(['get r.io']);
    expect(problems).toEqual([]);
  });

  it('leaves helpers alone unless configured to use them, as kubelet does', async () => {
    const keyring = new DockerConfigFiles(
      { configJsonDirs: [dir], dockercfgDirs: [] },
      { onProblem },
    );
    write('config.json', JSON.stringify({ auths: { 'r.io': {} }, credsStore: 'absent' }));
    expect(await users(keyring)).toEqual(['']);
    expect(problems).toEqual([]);
  });
});

describe('pull secrets', () => {
  const secret = (name: string, given: Partial<PullSecret>): PullSecret => ({
    namespace: 'ns',
    name,
    uid: `uid-${name}`,
    type: 'kubernetes.io/dockerconfigjson',
    data: {},
    ...given,
  });
  const good = secret('good', {
    data: { '.dockerconfigjson': Buffer.from(configJson({ 'r.io': 'good' })) },
  });
  const use =
    'use a secret of type kubernetes.io/dockerconfigjson (kubectl create secret docker-registry)';

  it.each<[string, PullSecret, string, boolean]>([
    [
      'Opaque',
      secret('s', { type: 'Opaque', data: { '.dockerconfigjson': configJson({ 'r.io': 'x' }) } }),
      `type Opaque does not say that its content is a registry credential; ${use}`,
      true,
    ],
    [
      'a service account token',
      secret('s', { type: 'kubernetes.io/service-account-token', data: { token: 'hunter2' } }),
      `type kubernetes.io/service-account-token holds a token for the Kubernetes API, which no registry takes; ${use}`,
      true,
    ],
    [
      'another type',
      secret('s', { type: 'kubernetes.io/tls' }),
      `type "kubernetes.io/tls" holds no registry credentials; ${use}`,
      true,
    ],
    [
      'the key of the other type',
      secret('s', { type: 'kubernetes.io/dockercfg', data: { '.dockerconfigjson': '{}' } }),
      'type kubernetes.io/dockercfg needs the data key .dockercfg',
      true,
    ],
    [
      'an empty payload',
      secret('s', { data: { '.dockerconfigjson': '' } }),
      'type kubernetes.io/dockerconfigjson needs the data key .dockerconfigjson',
      true,
    ],
    [
      'no auths',
      secret('s', { data: { '.dockerconfigjson': '{"hunter2":{}}' } }),
      '.dockerconfigjson: it has no "auths"; expected is {"auths": {"REGISTRY": {"auth": …}}}',
      true,
    ],
    [
      'the content of a .dockercfg',
      secret('s', { data: { '.dockerconfigjson': '{"r.io":{"auth":"eDp5"}}' } }),
      '.dockerconfigjson: it is the content of a .dockercfg, with registries at the top; expected is {"auths": {"REGISTRY": {"auth": …}}}, or this content under .dockercfg',
      true,
    ],
    [
      'the content of a config.json as .dockercfg',
      secret('s', {
        type: 'kubernetes.io/dockercfg',
        data: { '.dockercfg': '{"auths":{"r.io":{"auth":"eDp5"}}}' },
      }),
      '.dockercfg: it is the content of a config.json, with "auths"; expected is {"REGISTRY": {"auth": …}}, or this content under .dockerconfigjson',
      true,
    ],
    [
      'a whole Secret object',
      secret('s', {
        data: { '.dockerconfigjson': '{"kind":"Secret","data":{".dockerconfigjson":"e30="}}' },
      }),
      '.dockerconfigjson: it is a whole Secret object in JSON; expected is {"auths": {"REGISTRY": {"auth": …}}}, the decoded value of one of its data keys',
      true,
    ],
    [
      'a whole Secret object as .dockercfg',
      secret('s', {
        type: 'kubernetes.io/dockercfg',
        data: { '.dockercfg': '{"kind":"Secret","data":{".dockercfg":"e30="}}' },
      }),
      '.dockercfg: it is a whole Secret object in JSON; expected is {"REGISTRY": {"auth": …}}, the decoded value of one of its data keys',
      false,
    ],
    [
      'a byte order mark',
      secret('s', { data: { '.dockerconfigjson': '\ufeff{"auths":{}}' } }),
      '.dockerconfigjson: it begins with a byte order mark (U+FEFF), which JSON does not allow',
      false,
    ],
    [
      'no JSON',
      secret('s', { data: { '.dockerconfigjson': '{hunter2' } }),
      '.dockerconfigjson: not JSON',
      false,
    ],
  ])('%s is reported and skipped, or fails where kubelet does', async (_, bad, reason, skipped) => {
    const keyring = pullSecretKeyring([bad, good], { onProblem });
    expect(await users(keyring)).toEqual(['good']);
    expect(problems).toEqual([{ kind: 'secret', name: 'ns/s', reason }]);
    const strict = () => pullSecretKeyring([bad, good], { undecodable: 'fail' });
    if (skipped) expect(strict).not.toThrow();
    else {
      expect(strict).toThrow(PullSecretError);
      expect(strict).toThrow(`secret ns/s: ${reason}`);
    }
    expect(inspect(problems)).not.toContain('hunter2');
  });

  it('reads both types and keeps where each came from', async () => {
    const old = secret('old', {
      type: 'kubernetes.io/dockercfg',
      data: { '.dockercfg': JSON.stringify({ 'r.io': { auth: auth('old') } }) },
    });
    const credentials = await pullSecretKeyring([good, old]).lookup('r.io/x');
    expect(credentials.map(({ label: { kind, name } }) => [kind, name])).toEqual([
      ['secret', 'ns/good'],
      ['secret', 'ns/old'],
    ]);
    expect(credentials[1]!.source).toEqual({
      kind: 'secret',
      namespace: 'ns',
      name: 'old',
      uid: 'uid-old',
    });
  });

  it('come before what follows them', async () => {
    const node = pullSecretKeyring([
      secret('node', { data: { '.dockerconfigjson': configJson({ 'r.io/x': 'node' }) } }),
    ]);
    expect(await users(concatKeyrings([pullSecretKeyring([good]), node]))).toEqual([
      'good',
      'node',
    ]);
    expect(await users(concatKeyrings([]))).toEqual([]);
  });
});

describe('a directory of mounted secrets', () => {
  it('takes secrets at every level, in the order of their paths', async () => {
    write('.dockerconfigjson', configJson({ 'r.io': 'top' }));
    write('b/.dockerconfigjson', configJson({ 'r.io': 'named' }));
    write('a/n/.dockercfg', JSON.stringify({ 'r.io': { auth: auth('spaced') } }));
    write('a/n/too/deep/.dockerconfigjson', configJson({ 'r.io': 'deep' }));
    const credentials = await new PullSecretDirectory(dir, { onProblem }).lookup('r.io/x');
    expect(credentials.map(({ auth: { username }, label }) => [username, label.name])).toEqual([
      ['top', path.basename(dir)],
      ['spaced', 'a/n'],
      ['named', 'b'],
    ]);
    expect(problems).toEqual([]);
  });

  describe('asked for a namespace', () => {
    const inNamespace = async (keyring: PullSecretDirectory, namespace: string, image = 'r.io/x') =>
      (await keyring.lookup(image, { namespace })).map(({ auth: { username } }) => username);

    it('gives what belongs to it and what belongs to no namespace', async () => {
      write('shop/a/.dockerconfigjson', configJson({ 'r.io': 'shop' }));
      write('bank/b/.dockerconfigjson', configJson({ 'r.io/x': 'bank' }));
      write('c/.dockerconfigjson', configJson({ 'r.io': 'all' }));
      const keyring = new PullSecretDirectory(dir, { onProblem });
      expect(await inNamespace(keyring, 'shop')).toEqual(['all', 'shop']);
      expect(await inNamespace(keyring, 'bank')).toEqual(['bank', 'all']);
      expect(await inNamespace(keyring, 'other')).toEqual(['all']);
      expect(await inNamespace(keyring, '')).toEqual(['all']);
      expect(await users(keyring)).toEqual(['bank', 'all', 'shop']);
    });

    it("does not let another namespace's secret hide its key of Docker Hub", async () => {
      write('shop/a/.dockerconfigjson', configJson({ 'https://index.docker.io/v1/': 'shop' }));
      write('bank/b/.dockerconfigjson', configJson({ 'docker.io': 'bank' }));
      const keyring = new PullSecretDirectory(dir, { onProblem });
      expect(await inNamespace(keyring, 'shop', 'docker.io/library/nginx')).toEqual(['shop']);
      const named = await keyring.lookupIn('shop/a', 'docker.io/library/nginx');
      expect(named.map(({ auth: { username } }) => username)).toEqual(['shop']);
    });

    it('reports each problem once, and fails for the namespace of an undecodable secret alone', async () => {
      write('shop/a/.dockerconfigjson', '{');
      write('bank/b/.dockerconfigjson', configJson({ 'r.io': 'bank' }));
      const keyring = new PullSecretDirectory(dir, { onProblem });
      for (const namespace of ['bank', 'shop', 'bank', 'other']) {
        await inNamespace(keyring, namespace);
      }
      expect(problems.map(({ name }) => name)).toEqual(['shop/a']);
      const strict = new PullSecretDirectory(dir, { undecodable: 'fail' });
      expect(await inNamespace(strict, 'bank')).toEqual(['bank']);
      await expect(inNamespace(strict, 'shop')).rejects.toThrow('secret shop/a');
    });
  });

  it('follows Kubernetes when it swaps the files of a mounted secret', async () => {
    const mount = (version: string, username: string): void => {
      write(`s/..${version}/.dockerconfigjson`, configJson({ 'r.io': username }));
      symlinkSync(`..${version}`, path.join(dir, 's/..data_tmp'));
      renameSync(path.join(dir, 's/..data_tmp'), path.join(dir, 's/..data'));
    };
    mount('one', 'aaa');
    symlinkSync('..data/.dockerconfigjson', path.join(dir, 's/.dockerconfigjson'));
    const keyring = new PullSecretDirectory(dir, { onProblem });
    expect(await users(keyring)).toEqual(['aaa']);
    mount('two', 'bbb');
    expect(await users(keyring)).toEqual(['bbb']);
    expect(problems).toEqual([]);
  });

  it('follows the folders of a projected volume, which are links, and their swap', async () => {
    // What kubelet's atomic writer makes of items with `path: shop/registry/.dockerconfigjson`.
    const mount = (version: string, username: string): void => {
      write(
        `..${version}/shop/registry/.dockerconfigjson`,
        configJson({ 'r.io': username }),
        0o400,
      );
      symlinkSync(`..${version}`, path.join(dir, '..data_tmp'));
      renameSync(path.join(dir, '..data_tmp'), path.join(dir, '..data'));
    };
    mount('2026_11_21.1', 'aaa');
    symlinkSync('..data/shop', path.join(dir, 'shop'));
    const keyring = new PullSecretDirectory(dir, { onProblem });
    const [credential] = await keyring.lookup('r.io/x');
    expect(credential!.label).toMatchObject({ kind: 'secret', name: 'shop/registry' });
    mount('2026_11_21.2', 'bbb');
    rmSync(path.join(dir, '..2026_11_21.1'), { recursive: true });
    expect(await users(keyring)).toEqual(['bbb']);
    expect(problems).toEqual([]);
  });

  it('is not caught by links that lead in a circle, pipes and files without end', async () => {
    symlinkSync('.', path.join(dir, 'again'));
    symlinkSync('loop', path.join(dir, 'loop'));
    mkdirSync(path.join(dir, 'pipe'));
    execFileSync('mkfifo', [path.join(dir, 'pipe/.dockerconfigjson')]);
    mkdirSync(path.join(dir, 'zero'));
    symlinkSync('/dev/zero', path.join(dir, 'zero/.dockerconfigjson'));
    truncateSync(write('large/.dockerconfigjson', ''), 17 * 1024 * 1024);
    write('good/.dockerconfigjson', configJson({ 'r.io': 'good' }));
    symlinkSync('..', path.join(dir, 'good/up'));
    const keyring = new PullSecretDirectory(dir, { onProblem });
    expect(await users(keyring)).toEqual(['good']);
    const reasonOf = (file: string) =>
      problems.find(({ name }) => name === path.join(dir, file))?.reason;
    expect(reasonOf('loop')).toBe('cannot be read: ELOOP');
    expect(reasonOf('pipe/.dockerconfigjson')).toBe('cannot be read: it is no regular file');
    expect(reasonOf('zero/.dockerconfigjson')).toBe('cannot be read: it is no regular file');
    expect(reasonOf('large/.dockerconfigjson')).toBe(
      'cannot be read: it has more than 16777216 bytes',
    );
  });

  it('says what cannot be used, once per change', async () => {
    write('account/token', 'hunter2');
    write('account/ca.crt', 'x');
    write('opaque/password', 'hunter2');
    mkdirSync(path.join(dir, 'odd/.dockerconfigjson'), { recursive: true });
    symlinkSync('nowhere', path.join(dir, 'odd/.dockercfg'));
    write('good/.dockerconfigjson', configJson({ 'r.io': 'good' }));
    const keyring = new PullSecretDirectory(dir, { onProblem });
    expect(await users(keyring)).toEqual(['good']);
    expect(await users(keyring)).toEqual(['good']);
    expect(problems.map(({ name, reason }) => [name, reason.split(';')[0]])).toEqual([
      [path.join(dir, 'odd/.dockercfg'), 'cannot be read: ENOENT'],
      [
        'account',
        'type kubernetes.io/service-account-token holds a token for the Kubernetes API, which no registry takes',
      ],
      ['opaque', 'type Opaque does not say that its content is a registry credential'],
    ]);
  });

  it('reports an absent directory and takes it when it comes', async () => {
    const keyring = new PullSecretDirectory(path.join(dir, 'later'), { onProblem });
    expect(await users(keyring)).toEqual([]);
    expect(problems).toEqual([
      { kind: 'secret', name: path.join(dir, 'later'), reason: 'cannot be read: ENOENT' },
    ]);
    write('later/s/.dockerconfigjson', configJson({ 'r.io': 'came' }));
    expect(await users(keyring)).toEqual(['came']);
  });

  it('fails every look-up while a secret is undecodable, when configured to do as kubelet', async () => {
    const file = write('s/.dockerconfigjson', '{');
    const keyring = new PullSecretDirectory(dir, { undecodable: 'fail' });
    await expect(keyring.lookup('r.io/x')).rejects.toThrow('secret s: .dockerconfigjson: not JSON');
    await expect(keyring.lookup('r.io/x')).rejects.toThrow(PullSecretError);
    writeFileSync(file, configJson({ 'r.io': 'good' }));
    chmodSync(file, 0o600);
    expect(await users(keyring)).toEqual(['good']);
  });
});
