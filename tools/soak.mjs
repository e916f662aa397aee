// `npm run soak [-- NAME [ARGUMENT ...]]`: runs the long tests (`*.soak.ts`) one after the other,
// each as a process of its own: all of them, or those whose path holds NAME, which then get the
// arguments. `npm test` has their short forms. The last line is `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { asRoot, buildApps, ensurePackages, ensurePrograms, root } from './bootstrap.mjs';

const [name = '', ...args] = process.argv.slice(2);
const files = ['apps', 'libs', 'e2e', 'tools']
  .flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
      path.join(folder, file),
    ),
  )
  .filter((file) => file.endsWith('.soak.ts') && !file.includes('node_modules'))
  .filter((file) => file.includes(name))
  .sort();
if (files.length === 0) {
  process.stderr.write(`no *.soak.ts has ${name} in its path\n`);
  process.exit(64);
}

ensurePackages();
ensurePrograms();
buildApps();
const failed = [];
for (const file of files) {
  process.stdout.write(`\n== ${file}\n`);
  const node = [process.execPath, '--import', 'tsx', path.join(root, file), ...args];
  const commandLine = asRoot(node);
  if (commandLine === undefined) {
    process.stderr.write('Soaks start containerd and need root: run as root, or install sudo.\n');
    process.exit(1);
  }
  const [command, ...rest] = commandLine;
  const { status } = spawnSync(command, rest, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
  });
  if (status !== 0) failed.push(file);
}
for (const file of failed) process.stdout.write(`failed: ${file}\n`);
process.stdout.write(`\n${files.length - failed.length} passed, ${failed.length} failed\n`);
process.exitCode = failed.length > 0 ? 1 : 0;
