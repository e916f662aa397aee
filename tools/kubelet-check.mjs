// `npm run kubelet:check -- --kubelet FILE [ARGUMENT ...]`: plays the same scenarios with a real kubelet on containerd itself and through
// Stowage's sockets, and compares what is seen. `--help` lists the options; kubelet itself is not part of this project. Needs root.
import { spawn } from 'node:child_process';
import path from 'node:path';
import {
  asRoot,
  buildApps,
  ensurePackages,
  ensurePrograms,
  root,
  systemPrograms,
} from './bootstrap.mjs';

const args = process.argv.slice(2);
ensurePackages();
if (!args.includes('--help')) {
  const enters = { find: 'unshare', packages: ['util-linux'] };
  ensurePrograms([...systemPrograms, enters], 'to run kubelet on');
  buildApps();
}
const main = path.join(root, 'tools', 'kubelet-check', 'main.ts');
const commandLine = asRoot([process.execPath, '--import', 'tsx', main, ...args]);
if (commandLine === undefined) {
  process.stderr.write('kubelet needs root: run as root, or install sudo.\n');
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
child.on('exit', (code) => process.exit(code ?? 1));
