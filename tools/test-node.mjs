// `npm run test:node -- VERSION ... [OPTION ...]`: unit and integration tests of the commit that is
// checked out, on other versions of Node.js: `npm run test:node -- 22 24 26`. `npm run matrix` does
// it; what is beside the tests (demo, critest, the table) is its own.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';

const usage = `usage: npm run test:node -- VERSION ... [OPTION ...]

Runs the tests of the commit that is checked out on other versions of Node.js: 22.14, 22, 24.0, 24, 26.

options:
  --only PATH    only tests whose path holds it. May be repeated
  --dir FOLDER   where the roots and logs lie; default: /var/tmp/stowage-matrix. Some 3 GB a version; may be removed at any time
  --help
`;

function fail(problem) {
  process.stderr.write(`${problem}\n${usage}`);
  process.exit(64);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'string', multiple: true, default: ['.spec.ts'] },
        dir: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return fail(error.message);
  }
}

const { positionals, values } = readArguments();
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
if (positionals.length === 0) fail('name a version');
const wrong = positionals.find((version) => !/^\d+(\.\d+)?$/.test(version));
if (wrong !== undefined) fail(`${wrong}: no version of Node.js`);
const child = spawn(
  process.execPath,
  [
    path.join(import.meta.dirname, 'matrix.mjs'),
    ...values.only.flatMap((folder) => ['--only', folder]),
    ...(values.dir === undefined ? [] : ['--dir', values.dir]),
    ...positionals.map((version) => `node-${version}`),
  ],
  { stdio: 'inherit' },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => process.exit(code ?? 1));
