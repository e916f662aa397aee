// `npm run release [-- ARGUMENT ...]`: the next version, its change log, its commit and tag, and
// everything that is published with it. `--dry-run` changes nothing. `--help` lists the options.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { buildApps, ensurePackages, ensurePrograms, root } from './bootstrap.mjs';

const args = process.argv.slice(2);
ensurePackages();
if (!args.includes('--help')) {
  ensurePrograms(
    [
      { find: 'dpkg-deb', packages: ['dpkg'] },
      { find: 'git', packages: ['git'] },
      { find: 'tar', packages: ['tar'] },
    ],
    'for a release',
  );
  if (args.includes('--dry-run') || args.includes('--artifacts')) buildApps();
}
const run = spawnSync(
  process.execPath,
  ['--import', 'tsx', path.join(root, 'tools/release/main.ts'), ...args],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      NX_DAEMON: 'false',
      NX_TUI: 'false',
      TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json'),
    },
  },
);
process.exit(run.status ?? 1);
