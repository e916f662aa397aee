// `npm run package:check [-- NAME ...]`: installs, runs, upgrades and purges the Debian package on a
// fresh Debian 12 and 13. Needs root, and a Debian machine.
import {
  becomeRootProgram,
  buildApps,
  ensurePackages,
  ensurePrograms,
  testPrograms,
} from './bootstrap.mjs';

const args = process.argv.slice(2);
ensurePackages();
if (!args.includes('--help')) {
  ensurePrograms(
    [
      ...testPrograms,
      { find: 'unshare', packages: ['util-linux'] },
      { find: 'debootstrap', packages: ['debootstrap', 'debian-archive-keyring'] },
    ],
    'to try the Debian package',
  );
  buildApps();
}
becomeRootProgram(
  'tools/package-deb/check.ts',
  args,
  'The check makes root folders and namespaces: run as root, or install sudo.',
);
