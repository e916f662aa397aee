// `npm run matrix [-- ARGUMENT ...]`: runs tests, demo and critest on other versions of Debian and
// Node.js, each in a root folder of its own. `--help` lists the names and options. Needs root, and
// a Debian machine for the roots of Debian.
import { becomeRootProgram, ensurePackages, ensurePrograms, systemPrograms } from './bootstrap.mjs';

const args = process.argv.slice(2);
ensurePackages();
if (!args.includes('--help')) {
  ensurePrograms(
    [
      ...systemPrograms, // of the machine's own stack, and what enters a root
      { find: 'unshare', packages: ['util-linux'] },
      { find: 'git', packages: ['git'] },
      ...(args.some((arg) => /^--crio(=|$)/.test(arg))
        ? [
            { find: 'conmon', packages: ['conmon'] },
            { find: 'crun', packages: ['crun'] },
          ]
        : []),
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
