import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { nodeCredentials } from './node-credentials';
import { pullSecretsScopes, type PullSecretsScope } from './pull-secrets-scope';

const { signal } = new AbortController();
const auths = (username: string) =>
  JSON.stringify({ auths: { 'reg.io': { username, password: 'p' } }, credsStore: 'one' });

describe('credentials of the node', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(path.join(tmpdir(), 'node-credentials-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  const write = (file: string, content: string, mode = 0o600) => {
    mkdirSync(path.dirname(path.join(dir, file)), { recursive: true });
    writeFileSync(path.join(dir, file), content, { mode });
  };
  const open = (problems: unknown[] = [], pullSecretsScope?: PullSecretsScope) => {
    write('secrets/shop/a/.dockerconfigjson', auths('a'));
    write('secrets/shop/b/.dockerconfigjson', auths('b'));
    write('docker/config.json', auths('node'));
    write(
      'bin/docker-credential-one',
      `#!/bin/sh\necho >> ${dir}/asked; echo '{"Username":"helper","Secret":"s"}'`,
      0o755,
    );
    return nodeCredentials({
      pullSecretsDir: path.join(dir, 'secrets'),
      pullSecretsScope,
      undecodable: 'skip',
      configJsonDirs: [path.join(dir, 'docker')],
      dockercfgDirs: [],
      helpers: { binDir: path.join(dir, 'bin') },
      onProblem: (problem) => problems.push(problem),
    });
  };

  it('are those of the mounted secrets, then of docker config, with whose they are', async () => {
    const found = await open().forRepository('reg.io/app', { signal, namespace: 'shop' });
    expect(found.map(({ label, auth }) => [label.source, auth?.username])).toEqual([
      ['kubernetes-secret', 'a'],
      ['kubernetes-secret', 'b'],
      ['credential-helper', 'helper'],
      ['docker-config', 'node'],
    ]);
    expect(found.map(({ owner }) => owner?.secret?.name)).toEqual(['a', 'b', undefined, undefined]);
  });

  it.each<[PullSecretsScope | undefined, string | undefined, string[]]>([
    [undefined, 'shop', ['a', 'b', 'helper', 'node']],
    [undefined, 'bank', ['helper', 'node']],
    [undefined, undefined, ['helper', 'node']],
    ['node', 'bank', ['a', 'b', 'helper', 'node']],
    ['node', undefined, ['a', 'b', 'helper', 'node']],
    ['named', 'shop', ['helper', 'node']],
  ])('with scope %s and namespace %s are %j', async (scope, namespace, expected) => {
    const found = await open([], scope).forRepository('reg.io/app', { signal, namespace });
    expect(found.map(({ auth }) => auth?.username)).toEqual(expected);
  });

  it.each(pullSecretsScopes)('with scope %s are those of a secret that is named', async (scope) => {
    const options = { signal, secretName: 'shop/b', namespace: 'bank' };
    const found = await open([], scope).forRepository('reg.io/app', options);
    expect(found.map(({ auth }) => auth?.username)).toEqual(['b']);
  });

  it('are those of one secret alone when it is named, and no program is run for it', async () => {
    const node = open();
    const found = await node.forRepository('reg.io/app', { signal, secretName: 'shop/b' });
    expect(found.map(({ auth }) => auth?.username)).toEqual(['b']);
    expect(await node.forRepository('reg.io/app', { signal, secretName: 'shop/c' })).toEqual([]);
    expect(() => readFileSync(path.join(dir, 'asked'))).toThrow('ENOENT');
  });

  it('report once what cannot be used', async () => {
    const problems: unknown[] = [];
    const node = open(problems);
    write('secrets/shop/b/.dockerconfigjson', '{"hunter2');
    await node.forRepository('reg.io/app', { signal });
    await node.forRepository('reg.io/app', { signal });
    const problem = { name: 'shop/b', reason: '.dockerconfigjson: not JSON' };
    expect(problems).toEqual([{ kind: 'secret', ...problem }]);
    expect(node.takeProblems?.()).toEqual([{ source: 'kubernetes-secret', ...problem }]);
    expect(node.takeProblems?.()).toEqual([]);
  });
});
