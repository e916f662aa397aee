import { openEventBus } from '@stowage/event-bus';
import { eventCatalog } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * The tarballs of `@stowage/events` and `@stowage/commands` as a stranger gets them: installed in
 * an empty project outside of this repository (npm offline, from tarballs of the very packages that
 * lie in node_modules here), type-checked, and run. So do libs/events/README.md and
 * libs/commands/README.md, those of the packages and those of the examples have it.
 */

const root = path.join(__dirname, '..');
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  version: string;
};
const folder = mkdtempSync(path.join(tmpdir(), 'stowage-package-'));
const project = path.join(folder, 'project');
const cleanUps: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];

/** Runs a program; when it fails, the error holds what it printed. */
function run(command: string, args: string[], cwd = project): string {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')}\n${stdout}\n${stderr}`, { cause: error });
  }
}

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
  const { exitCode, signalCode } = child;
  if (exitCode != null || signalCode != null) return exitCode;
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  child.kill(signal);
  return exited;
};

let tarball: string;
let commandsTarball: string;

// npm and the compiler are slow where the processors are busy.
jest.setTimeout(300_000);

beforeAll(() => {
  const build = (name: string) => {
    const script = path.join(root, 'tools/build-package.mjs');
    const args = [script, name, '--out', path.join(folder, 'packages')];
    return run(process.execPath, args, root).trim();
  };
  tarball = build('events');
  commandsTarball = build('commands');
  mkdirSync(project);
  writeFileSync(path.join(project, 'package.json'), '{ "name": "stranger", "private": true }');
  const dependencies = ['zod', 'nats', 'nkeys.js', 'tweetnacl'].map((name) => {
    const source = path.join(folder, 'sources', name);
    cpSync(path.join(root, 'node_modules', name), source, { recursive: true });
    // npm before 10 runs them all the same, and they build the package anew.
    const file = path.join(source, 'package.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...manifest, scripts: {} }));
    const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder, source];
    return path.join(folder, run('npm', args, folder).trim());
  });
  run('npm', [
    ...['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund'],
    tarball,
    commandsTarball,
    ...dependencies,
  ]);
});

afterAll(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

it.each([
  ['events', ['consumer.js']],
  ['commands', ['client.js', 'local.js']],
])('%s holds code, types, README and licence, and nothing else', (name, entries) => {
  const packed = name === 'events' ? tarball : commandsTarball;
  expect(path.basename(packed)).toBe(`stowage-${name}-${version}.tgz`);
  const files = run('tar', ['-tzf', packed])
    .trim()
    .split('\n')
    .map((file) => file.replace('package/', ''));
  expect(files.filter((file) => !file.startsWith('types/')).sort()).toEqual(
    ['LICENSE', 'README.md', ...entries, 'index.js', 'package.json'].sort(),
  );
  expect(files.filter((file) => file.startsWith('types/') && !file.endsWith('.d.ts'))).toEqual([]);
});

it('is named so where the READMEs say how to install it', () => {
  for (const file of [
    'README.md',
    'libs/events/package/README.md',
    'examples/event-subscriber/README.md',
    'examples/threshold-reporter/README.md',
  ]) {
    const readme = readFileSync(path.join(root, file), 'utf8');
    expect([file, readme.includes(path.basename(tarball))]).toEqual([file, true]);
  }
  for (const file of ['libs/commands/package/README.md', 'examples/threshold-reporter/README.md']) {
    const readme = readFileSync(path.join(root, file), 'utf8');
    expect([file, readme.includes(path.basename(commandsTarball))]).toEqual([file, true]);
  }
});

it('is required and imported with the names that its source exports', () => {
  const script = (load: string) =>
    `${load}; console.log(JSON.stringify([typeof e.parseEvent, e.eventNames.length, typeof c.consumeEvents]))`;
  const expected = JSON.stringify(['function', Object.keys(eventCatalog).length, 'function']);
  const required = `const e = require('@stowage/events'), c = require('@stowage/events/consumer')`;
  expect(run(process.execPath, ['-e', script(required)]).trim()).toBe(expected);
  writeFileSync(
    path.join(project, 'names.mjs'),
    script(`import * as e from '@stowage/events'; import * as c from '@stowage/events/consumer'`),
  );
  expect(run(process.execPath, ['names.mjs']).trim()).toBe(expected);
});

/** Compiles a program of the project as its author would; throws what the compiler says. */
function typeCheck(file: string, code: string): void {
  writeFileSync(path.join(project, file), code);
  // The compiler and Node's own types are the workspace's; everything else is what was installed.
  const options = {
    module: 'nodenext',
    target: 'es2022',
    strict: true,
    skipLibCheck: false,
    noEmitOnError: true,
    types: ['node'],
    typeRoots: [path.join(root, 'node_modules/@types')],
    outDir: 'built',
    rootDir: '.',
  };
  const settings = { compilerOptions: options, files: [file] };
  writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(settings));
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  run(process.execPath, [tsc, '-p', 'tsconfig.json']);
}

async function startNats(): Promise<string> {
  const nats = await TestNatsServer.start();
  cleanUps.push(() => nats.remove());
  return nats.url;
}

it('the consumer of its README type-checks and consumes a real event', async () => {
  const readme = readFileSync(path.join(project, 'node_modules/@stowage/events/README.md'), 'utf8');
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  if (code === undefined) throw new Error('the README shows no consumer');
  typeCheck('consumer.ts', code);
  expect(() => {
    typeCheck('consumer.ts', code.replace('event.data.reference', 'event.data.referense'));
  }).toThrow("Property 'referense' does not exist");

  const url = await startNats();
  const quiet = () => undefined;
  const bus = openEventBus({
    stateDir: path.join(folder, 'state'),
    node: 'worker-1.example.net',
    app: 'image-service',
    nats: { servers: [url], reconnectWaitMs: 50 },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
  bus.publish('ImagePulled', eventCatalog.ImagePulled.example);
  bus.publish('RuntimeUnavailable', eventCatalog.RuntimeUnavailable.example);
  bus.publish('ImageRemoved', eventCatalog.ImageRemoved.example);
  expect(await bus.flush({ signal: AbortSignal.timeout(60_000) })).toBe(true);

  const consumer = spawn(process.execPath, ['built/consumer.js'], {
    cwd: project,
    env: { ...process.env, NATS_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  cleanUps.push(() => end(consumer, 'SIGKILL'));
  let printed = '';
  let complaints = '';
  consumer.stdout.on('data', (text: Buffer) => (printed += text.toString()));
  consumer.stderr.on('data', (text: Buffer) => (complaints += text.toString()));
  await eventually(() => printed.includes('removed'), {
    what: 'both events',
    timeoutMs: 60_000,
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${printed}\n${complaints}`);
  });
  const { reference, sizeBytes } = eventCatalog.ImagePulled.example.data;
  const { imageId, reason } = eventCatalog.ImageRemoved.example.data;
  expect(printed.trim().split('\n')).toEqual([
    `worker-1.example.net pulled ${reference} ${String(sizeBytes)}`,
    `worker-1.example.net removed ${imageId} ${reason}`,
  ]);
  expect(await end(consumer, 'SIGTERM')).toBe(0);
});

it('the program of the README of commands type-checks and says that nobody answers', async () => {
  const readme = readFileSync(
    path.join(project, 'node_modules/@stowage/commands/README.md'),
    'utf8',
  );
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  if (code === undefined) throw new Error('the README shows no program');
  typeCheck('plan.ts', code);
  expect(() => {
    typeCheck('plan.ts', code.replace('plan.removeCount', 'plan.removedCount'));
  }).toThrow("Property 'removedCount' does not exist");
  const url = await startNats();
  const plan = spawn(process.execPath, ['built/plan.js', 'worker-1'], {
    cwd: project,
    env: { ...process.env, NATS_URL: url },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  plan.stdout.on('data', (text: Buffer) => (printed += text.toString()));
  expect(await new Promise((resolve) => plan.once('close', resolve))).toBe(0);
  expect(printed).toBe('gc-worker.plan on worker-1: nobody answers commands there\n');
});

it.each([
  ['event-subscriber', /^usage: event-subscriber /],
  ['threshold-reporter', /^usage: threshold-reporter /],
])('the example %s type-checks and runs as a copy out of the repository', (name, usage) => {
  const copy = path.join(project, name);
  const source = path.join(root, 'examples', name);
  cpSync(source, copy, { recursive: true });
  for (const file of readdirSync(copy)) {
    if (/\.spec\.ts$|^project\.json$/.test(file)) rmSync(path.join(copy, file));
  }
  const options = {
    module: 'commonjs',
    moduleResolution: 'bundler',
    target: 'es2022',
    strict: true,
    types: ['node'],
    typeRoots: [path.join(root, 'node_modules/@types')],
    outDir: 'built',
    rootDir: '.',
  };
  const settings = { compilerOptions: options, files: ['main.ts'] };
  writeFileSync(path.join(copy, 'tsconfig.json'), JSON.stringify(settings));
  run(process.execPath, [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], copy);
  expect(run(process.execPath, ['built/main.js', '--help'], copy)).toMatch(usage);
});
