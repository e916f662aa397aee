// `npm run critest [-- ARGUMENT ...]`: runs the CRI validation specs of cri-tools against
// containerd itself and through the suite's sockets, and compares the outcome of every spec.
// `--help` lists the arguments; critest itself is not part of this project.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  asRoot,
  buildApps,
  ensurePackages,
  ensurePrograms,
  root,
  searchPath,
} from './bootstrap.mjs';

const args = process.argv.slice(2);
const asksForHelp = args.includes('--help');
const { named } = parseArgs({
  args: args.map((arg) => arg.replace(/^--critest(?=$|=)/, '--named')),
  options: { named: { type: 'string' } },
  strict: false,
}).values;
const critest =
  typeof named !== 'string'
    ? searchPath.map((dir) => path.join(dir, 'critest')).find(existsSync)
    : path.resolve(named);
if (!asksForHelp && (critest === undefined || !existsSync(critest))) {
  process.stderr.write(
    `${critest ?? 'critest'} is not there. It belongs to cri-tools, which offers it for download beside crictl: ` +
      'https://github.com/kubernetes-sigs/cri-tools/releases (critest-VERSION-linux-ARCH.tar.gz). ' +
      'Put it on PATH, or name the file: npm run critest -- --critest FILE\n',
  );
  process.exit(69);
}

ensurePackages();
if (!asksForHelp) {
  ensurePrograms();
  buildApps();
}
const main = [process.execPath, '--import', 'tsx', path.join(root, 'tools/critest/main.ts')];
const commandLine = asRoot([...main, ...args, ...(asksForHelp ? [] : ['--critest', critest])]);
if (commandLine === undefined) {
  process.stderr.write('The specs need containerd and root: run as root, or install sudo.\n');
  process.exit(1);
}
const [command, ...rest] = commandLine;
const { status } = spawnSync(command, rest, { cwd: root, stdio: 'inherit' });
process.exit(status ?? 1);
