// `npm run demo [-- --runtime docker] [--keep]`: installs what is missing, builds, and shows the suite
// at work on a real containerd or Docker Engine.
import { becomeRootProgram, buildApps, ensurePackages, ensurePrograms } from './bootstrap.mjs';

ensurePackages();
ensurePrograms();
buildApps();
becomeRootProgram(
  'tools/demo/main.ts',
  process.argv.slice(2),
  'The demo starts containerd and needs root: run it as root, or install sudo.',
);
