import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkIntegrity, fetchTarball } from './npm-tarball';

let dir: string;
const searched = process.env.PATH;
// sha512 of "abc", as RFC 6234 has it.
const abc = {
  name: 'some-package',
  version: '1.2.3',
  integrity:
    'sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==',
};

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-tarball-'));
});

afterEach(() => {
  process.env.PATH = searched;
  rmSync(dir, { recursive: true, force: true });
});

/** An npm that does this instead of fetching anything; `$2` is the package, `$4` the folder. */
function useNpm(script: string): void {
  const npm = path.join(dir, 'npm');
  writeFileSync(npm, `#!/bin/sh\n${script}\n`);
  chmodSync(npm, 0o755);
  process.env.PATH = `${dir}:${searched ?? ''}`;
}

const fetched = () => path.join(dir, 'cache/package.tgz');
const pack = (content: string) =>
  `test "$2" = some-package@1.2.3 && printf ${content} >"$4/some.tgz" && echo some.tgz`;

it('what is pinned is at its path afterwards, and nothing else beside it', async () => {
  useNpm(pack('abc'));
  await fetchTarball(abc, fetched());
  expect(readFileSync(fetched(), 'utf8')).toBe('abc');
  expect(readdirSync(path.dirname(fetched()))).toEqual(['package.tgz']);
});

it('what is not pinned is refused with both hashes, and nothing is kept of it', async () => {
  useNpm(pack('abd'));
  await expect(fetchTarball(abc, fetched())).rejects.toThrow(
    /is not some-package@1\.2\.3 as it is pinned: it has sha512-.*, wanted is sha512-3a81/,
  );
  expect(readdirSync(path.dirname(fetched()))).toEqual([]);
});

it('without a way to the registry, the error has the words of npm', async () => {
  useNpm('echo "npm error network getaddrinfo ENOTFOUND registry" >&2; exit 1');
  await expect(fetchTarball(abc, fetched())).rejects.toThrow(
    /^some-package@1\.2\.3 cannot be fetched \(npm pack .*\): npm error network getaddrinfo ENOTFOUND registry$/,
  );
  expect(existsSync(fetched())).toBe(false);
});

it('a file that changed since it was fetched is refused', () => {
  const file = path.join(dir, 'package.tgz');
  writeFileSync(file, 'abc');
  expect(() => checkIntegrity(file, abc)).not.toThrow();
  writeFileSync(file, 'abcd');
  expect(() => checkIntegrity(file, abc)).toThrow(/is not some-package@1\.2\.3 as it is pinned/);
});
