#!/usr/bin/env node
// Runs a TypeScript file of this workspace: `node tools/run-ts.mjs FILE [ARG ...]`.
// Installs the npm packages first when they are missing, so that it works in a fresh clone.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { ensurePackages, root } from './bootstrap.mjs';

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node tools/run-ts.mjs FILE [ARG ...]\n');
  process.exit(64);
}
ensurePackages();
const run = spawnSync(process.execPath, ['--import', 'tsx', path.resolve(file), ...args], {
  stdio: 'inherit',
  env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
});
process.exit(run.status ?? 1);
