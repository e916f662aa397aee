// `npm run kubelet:check -- --kubelet FILE [ARGUMENT ...]`: plays the same scenarios with a real
// kubelet on containerd itself and through Stowage's sockets, and compares what is seen. `--help`
// lists the options; kubelet itself is not part of this project. Needs root.
import {
  becomeRootProgram,
  buildApps,
  ensurePackages,
  ensurePrograms,
  systemPrograms,
} from './bootstrap.mjs';

const args = process.argv.slice(2);
ensurePackages();
if (!args.includes('--help')) {
  const enters = { find: 'unshare', packages: ['util-linux'] };
  ensurePrograms([...systemPrograms, enters], 'to run kubelet on');
  buildApps();
}
becomeRootProgram(
  'tools/kubelet-check/main.ts',
  args,
  'kubelet needs root: run as root, or install sudo.',
);
