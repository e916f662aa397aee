import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { makeCheckout } from './checkout';
import { blocksIn, textOf } from './markdown';

/** "How to add a service" of CONTRIBUTING, followed word for word in a clean clone. */

const page = 'CONTRIBUTING.md';
const name = 'node-greeter';
const folder = `apps/${name}`;

/** Where the blocks of the section belong, in their order. */
const files = [
  'project.json',
  'src/config.ts',
  'src/app.module.ts',
  'src/greeter.ts',
  'src/service.ts',
  'src/main.ts',
  `src/${name}.it.spec.ts`,
];

const [, section = ''] = /^## How to add a service\n([^]*?)^## /m.exec(textOf(page)) ?? [];
const blocks = blocksIn(section, page);

const temporary = mkdtempSync(path.join(tmpdir(), 'stowage-test-'));
const checkout = path.join(temporary, 'stowage');

function run(program: string, ...args: string[]): void {
  try {
    execFileSync(process.execPath, [program, ...args], {
      cwd: checkout,
      encoding: 'utf8',
      env: { ...process.env, NX_DAEMON: 'false' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${program} ${args.join(' ')}\n${stdout}\n${stderr}`, { cause: error });
  }
}

beforeAll(() => {
  makeCheckout(checkout);
  // That of the checkout belongs to the workspace that runs this.
  rmSync(path.join(checkout, 'dist'), { recursive: true });
  mkdirSync(path.join(checkout, folder, 'src'), { recursive: true });
  blocks.forEach(({ text }, index) => {
    writeFileSync(path.join(checkout, folder, files[index] ?? ''), text.replaceAll('<name>', name));
  });
}, 60_000);
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

it('has a block for each file', () => {
  const languages = files.map((file) => path.extname(file).slice(1));
  expect(blocks.map(({ language }) => language)).toEqual(languages);
});

it('gives a service that is formatted, and passes types and lint', () => {
  run('node_modules/.bin/prettier', '--check', folder);
  run('node_modules/.bin/eslint', folder);
  const settings = { extends: './tsconfig.json', include: [folder] };
  writeFileSync(path.join(checkout, 'tsconfig.service.json'), JSON.stringify(settings));
  run('node_modules/.bin/tsc', '--noEmit', '-p', 'tsconfig.service.json');
}, 300_000);

it('asks for nothing outside of its folder', () => {
  const specs = ['workflows', 'app-configurations', 'doc-links', 'doc-blocks/doc-blocks'];
  run(
    'node_modules/.bin/jest',
    ...['--selectProjects', 'unit', '--'],
    ...specs.map((spec) => `tools/${spec}.spec.ts`),
  );
}, 300_000);

it('gives a service that builds, starts and stops, as its own test says', () => {
  run('tools/build.mjs', name);
  run('node_modules/.bin/jest', '--selectProjects', 'integration', '--', folder);
}, 300_000);
