// `npm run matrix [-- ARGUMENT ...]`: runs tests, demo and critest on other versions of Debian and Node.js, each in a root
// folder of its own. `--help` lists the names and options. Needs root, and a Debian machine for the roots of Debian.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { asRoot, ensurePackages, ensurePrograms, root, systemPrograms } from './bootstrap.mjs';

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
const main = path.join(root, 'tools', 'matrix', 'main.ts');
const commandLine = asRoot([process.execPath, '--import', 'tsx', main, ...args]);
if (commandLine === undefined) {
  process.stderr.write(
    'The matrix makes root folders and namespaces: run as root, or install sudo.\n',
  );
  process.exit(1);
}
const [command, ...rest] = commandLine;
const child = spawn(command, rest, {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
});
// Ctrl+C reaches the child by itself; a signal to this process alone is handed on. It ends when everything is cleaned up.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
// npm hands a SIGTERM to its shell, which ends without this process.
const parent = process.ppid;
setInterval(() => {
  if (process.env.npm_lifecycle_event !== undefined && process.ppid !== parent) {
    child.kill('SIGTERM');
  }
}, 1000).unref();
child.on('exit', (code) => process.exit(code ?? 1));
