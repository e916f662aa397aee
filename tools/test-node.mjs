// `npm run test:node -- VERSION ... [OPTION ...]`: unit and integration tests of the commit that is
// checked out, on other versions of Node.js: `npm run test:node -- 22 24 26`. Options go to
// `npm run matrix`, which does it: --only PATH for some of the tests.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';

const usage =
  'usage: npm run test:node -- VERSION ... [--only PATH ...] (22, 22.14, 24, 24.0, 26)\n';
const { positionals, values } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { only: { type: 'string', multiple: true, default: [] } },
});
const wrong = positionals.find((version) => !/^\d+(\.\d+)?$/.test(version));
if (positionals.length === 0 || wrong !== undefined) {
  process.stderr.write(wrong === undefined ? usage : `${wrong}: no version of Node.js\n${usage}`);
  process.exit(64);
}
const only = values.only.length > 0 ? values.only : ['.spec.ts'];
const child = spawn(
  process.execPath,
  [
    path.join(import.meta.dirname, 'matrix.mjs'),
    ...only.flatMap((folder) => ['--only', folder]),
    ...positionals.map((version) => `node-${version}`),
  ],
  { stdio: 'inherit' },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => process.exit(code ?? 1));
