// `npm run matrix [-- ARGUMENT ...]`: runs tests, demo and critest on other versions of Debian and
// Node.js, each in a root folder of its own. `--help` lists the names and options. Needs root, and
// a Debian machine for the roots of Debian.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { becomeRootProgram, ensurePackages, ensurePrograms, testPrograms } from './bootstrap.mjs';

const args = process.argv.slice(2);
const [, crio] = /(?:^|\n)--crio[=\n](.*)/.exec(args.join('\n')) ?? [];
ensurePackages();
if (!args.includes('--help')) {
  ensurePrograms(
    [
      ...testPrograms, // of the machine's own stack, and what enters a root
      { find: 'unshare', packages: ['util-linux'] },
      { find: 'git', packages: ['git'] },
      // What lies beside CRI-O is taken first.
      ...(crio === undefined ? [] : ['conmon', 'crun'])
        .filter((name) => !existsSync(path.join(path.dirname(crio), name)))
        .map((name) => ({ find: name, packages: [name] })),
      { find: 'debootstrap', packages: ['debootstrap', 'debian-archive-keyring'] },
    ],
    'for the matrix of versions',
  );
}
becomeRootProgram(
  'tools/matrix/main.ts',
  args,
  'The matrix makes root folders and namespaces: run as root, or install sudo.',
);
