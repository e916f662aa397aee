// `npm run check`: everything that must hold before a commit, cheapest first. Stops at the first
// failure.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { ensurePackages, root } from './bootstrap.mjs';

const bin = (name) => path.join(root, 'node_modules', '.bin', name);

const steps = [
  { name: 'format', script: bin('prettier'), args: ['--check', '--log-level', 'warn', '.'] },
  { name: 'generated files', script: path.join(root, 'tools/gen.mjs'), args: ['--check'] },
  { name: 'types', script: bin('tsc'), args: ['--noEmit', '-p', 'tsconfig.json'] },
  {
    name: 'lint and module boundaries',
    script: bin('nx'),
    args: ['run-many', '-t', 'lint', '--outputStyle=static'],
  },
  {
    name: 'Helm chart',
    script: path.join(root, 'tools/run-ts.mjs'),
    args: ['tools/chart/main.ts', '--check'],
  },
  { name: 'unused code', script: bin('knip'), args: ['--no-progress'] },
  { name: 'tests', script: path.join(root, 'tools/test.mjs'), args: [] },
];

ensurePackages();
const done = [];
for (const { name, script, args } of steps) {
  const shown = `${path.relative(root, script).replace('node_modules/.bin/', '')} ${args.join(' ')}`;
  process.stdout.write(`\n== ${name}: ${shown.trimEnd()}\n`);
  const started = Date.now();
  const { status, signal } = spawnSync(process.execPath, [script, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' },
  });
  if (status !== 0) {
    const how = status === null ? signal : `exit code ${status}`;
    process.stdout.write(`\ncheck failed at: ${name} (${shown.trimEnd()}, ${how})\n`);
    process.exit(1);
  }
  done.push(`${name} ${Math.round((Date.now() - started) / 1000)} s`);
}
process.stdout.write(`\ncheck passed: ${done.join(', ')}\n`);
