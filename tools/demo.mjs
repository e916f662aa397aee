// `npm run demo [-- --runtime docker]`: installs what is missing, builds, and shows the suite at
// work on a real containerd or Docker Engine.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { asRoot, buildApps, ensurePackages, ensurePrograms, root } from './bootstrap.mjs';

ensurePackages();
ensurePrograms();
buildApps();
const main = path.join(root, 'tools', 'demo', 'main.ts');
const commandLine = asRoot([process.execPath, '--import', 'tsx', main, ...process.argv.slice(2)]);
if (commandLine === undefined) {
  process.stderr.write(
    'The demo starts containerd and needs root: run it as root, or install sudo.\n',
  );
  process.exit(1);
}
const [command, ...args] = commandLine;
const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
process.exit(status ?? 1);
