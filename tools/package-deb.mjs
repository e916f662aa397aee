// `npm run package:deb [-- ARGUMENT ...]`: builds the Debian packages of this version, as any user.
// `--help` lists the options.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { buildApps, ensurePackages, ensurePrograms, root } from './bootstrap.mjs';

const args = process.argv.slice(2);
ensurePackages();
if (!args.includes('--help')) {
  ensurePrograms([{ find: 'dpkg-deb', packages: ['dpkg'] }], 'to build the Debian packages');
  buildApps();
}
const run = spawnSync(
  process.execPath,
  ['--import', 'tsx', path.join(root, 'tools/package-deb/main.ts'), ...args],
  {
    stdio: 'inherit',
    env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
  },
);
process.exit(run.status ?? 1);
