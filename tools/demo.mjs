// `npm run demo`: installs what is missing, builds, and shows the suite at work on a real containerd.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { ensurePackages, ensurePrograms, root } from './bootstrap.mjs';

ensurePackages();
ensurePrograms();
process.stderr.write('Building the services ...\n');
const build = spawnSync(
  process.execPath,
  ['node_modules/nx/dist/bin/nx.js', 'run-many', '-t', 'build'],
  {
    cwd: root,
    env: { ...process.env, NX_DAEMON: 'false' },
    encoding: 'utf8',
  },
);
if (build.status !== 0) {
  process.stderr.write(`${build.stdout}${build.stderr}\n`);
  process.exit(1);
}
const node = [process.execPath, '--import', 'tsx', path.join(root, 'tools/demo/main.ts')];
const asRoot = process.getuid?.() === 0 ? node : ['sudo', '--preserve-env=PATH,TERM', ...node];
const [command, ...args] = asRoot;
const demo = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
process.exit(demo.status ?? 1);
