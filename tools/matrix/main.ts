/**
 * Runs tests, demo and critest on other versions, each name in a root of its own, and writes what
 * came of it into results.json, docs/tested-versions.md and the README. Exit code 1 when something
 * failed without an explanation.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '@stowage/errors';
import { crioHelper, nodeProgram, nodeProgramsOfTests, withLock } from '@stowage/testing';
import { root as project, testPrograms } from '../bootstrap.mjs';
import { kubernetesPrograms } from '../chart/kubernetes-programs';
import { nodeTarballs } from '../package-deb/node-release';
import { enter, removeLeftovers, type Bind, type Entered } from './enter';
import { knownDifferences } from './known-differences';
import { checkCrioVersion, selectNames, targets, UsageError, type Target } from './names';
import {
  explain,
  hasContainerdImages,
  isDone,
  isPassed,
  mergeResults,
  readTestRun,
  readVersions,
  together,
  versionsScript,
  type MatrixResult,
  type TestRun,
} from './results';
import {
  environment,
  lockOfRoots,
  makeDebianRoot,
  makeMachineRoot,
  ownPrograms,
  placeProgram,
} from './roots';
import { resultsTable, testedVersions, withShortTable } from './table';

const resultsFile = path.join(__dirname, 'results.json');
const names = Object.keys(targets);

const help = `usage: npm run matrix [-- OPTION ... [NAME ...]]

Runs unit and integration tests, the demo and critest (where it is installed) on other versions, each name in a root folder and in
namespaces of its own, and writes docs/tested-versions.md. What has passed for the commit that is checked out is not run again.

names, all unless named, those of crio only with --crio; debian, node and crio stand for all of theirs:
${Object.entries(targets)
  .map(([name, target]) => `  ${name.padEnd(15)} ${describe(target)}`)
  .join('\n')}

options:
  --again          also what has passed for this commit
  --only PATH      only tests whose path holds it, no demo, no critest; writes no table. May be repeated
  --crio PATH      the program of CRI-O, with pinns beside it or on PATH
  --critest FILE   the program of cri-tools; default: critest on PATH
  --mirror URI     of Debian; default: that of apt's configuration
  --dir FOLDER     where the roots and logs lie; default: /var/tmp/stowage-matrix. Some 3 GB a name; may be removed at any time
  --help
`;

function describe(target: Target): string {
  if (target.kind === 'debian') {
    return `Debian ${target.suite} with its own containerd, runc, nats-server and Node.js`;
  }
  if (target.kind === 'node') {
    return `the machine's own stack with the latest Node.js ${target.version}`;
  }
  const events = target.events ? 'with pod events' : 'without pod events';
  return `integration tests of the services on CRI-O with ${target.ociRuntime}, ${events}`;
}

/** The tests of what asks a CRI runtime, and that nothing is left of a stack on it. */
const testsOnCrio = [
  ...['runtime-gateway', 'image-service', 'gc-worker', 'stowctl'].map((app) => `apps/${app}/`),
  'libs/testing/src/cleanup/',
];

/** Where what an engine's image store can change is tested. */
const dockerShim = 'apps/docker-shim';
const integration = ['--selectProjects', 'integration'];

/** Longest time for one step, milliseconds. */
const stepLimitMs = 90 * 60_000;

const say = (line = ''): void => void process.stdout.write(`${line}\n`);

class StepFailedError extends Error {
  override readonly name = 'StepFailedError';
}

/** The step that runs now, and whether a signal has asked for the end. */
const now: { step?: Entered; interruptedBy?: 'SIGINT' | 'SIGTERM' } = {};
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (now.interruptedBy !== undefined) return;
    now.interruptedBy = signal;
    if (now.step !== undefined) say(`\n${signal}: ending what runs, up to a minute ...`);
    void now.step?.stop();
    interrupted.abort(new StepFailedError('interrupted'));
  });
}
const stopIfInterrupted = (): void => interrupted.signal.throwIfAborted();

interface Options {
  dir: string;
  only: readonly string[];
  critest: string | undefined;
  crio: string | undefined;
  mirror: string | undefined;
}

interface Place {
  name: string;
  root: string;
  binds: readonly Bind[];
  /** What its commands find in their environment besides. */
  env: Readonly<Record<string, string>>;
  /** Shell that comes before each command, in its namespaces. */
  before?: string;
  /** Its log files. */
  log: (step: string) => string;
}

/**
 * crun starts no container where control groups of version 2 have a controller beside those of
 * version 1, and makes plain folders where only the mount of version 2 is gone. So the commands see
 * a folder of control groups in which nothing of version 2 is.
 */
const withoutUnified = `if mountpoint -q /sys/fs/cgroup/unified; then
  groups=$(mktemp -d) && mount -t tmpfs -o mode=755 none "$groups" || exit 1
  mount --make-private "$groups" || exit 1
  for group in /sys/fs/cgroup/*; do
    name=\${group##*/}
    if [ -L "$group" ]; then cp -P "$group" "$groups" || exit 1
    elif [ "$name" != unified ]; then
      mkdir "$groups/$name" && mount --bind "$group" "$groups/$name" || exit 1
    fi
  done
  umount -R -l /sys/fs/cgroup && mount --rbind "$groups" /sys/fs/cgroup || exit 1
  umount -R "$groups" && rmdir "$groups" || exit 1
fi`;

/** Runs one step to its end. Returns its exit code. */
async function run(
  place: Place,
  title: string,
  log: string,
  start: () => Entered,
): Promise<number> {
  stopIfInterrupted();
  const began = Date.now();
  process.stdout.write(`${place.name}: ${title} ... `);
  const step = (now.step = start());
  const limit = AbortSignal.timeout(stepLimitMs);
  limit.addEventListener('abort', () => void step.stop());
  const code = await step.ended.finally(() => {
    now.step = undefined;
    removeLeftovers(place.root);
  });
  say(`${code === 0 ? 'done' : `exit code ${code}, see ${log}`} (${seconds(began)} s)`);
  stopIfInterrupted();
  if (limit.aborted) {
    throw new StepFailedError(`${title} was ended after ${stepLimitMs / 60_000} minutes`);
  }
  return code;
}

const seconds = (began: number): number => Math.round((Date.now() - began) / 1000);

/** Runs a step whose failure ends the run of the name. */
async function mustRun(
  place: Place,
  title: string,
  log: string,
  start: () => Entered,
): Promise<void> {
  const code = await run(place, title, log, start);
  if (code === 0) return;
  const output = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-20).join('\n');
  throw new StepFailedError(`${title} ended with ${code}:\n${output}`);
}

/** Runs a command in a root, with its output in a log of its own. Returns exit code and output. */
async function inside(
  place: Place,
  title: string,
  command: readonly string[],
  network: 'own' | 'machine' = 'own',
): Promise<{ code: number; output: string }> {
  const log = place.log(title);
  closeSync(openSync(log, 'w'));
  const { root, binds } = place;
  const env = { ...environment(network), ...place.env };
  const { before } = place;
  const whole =
    before === undefined ? command : ['sh', '-c', `${before}; exec "$@"`, 'sh', ...command];
  const code = await run(place, title, log, () =>
    enter(root, whole, { network, folder: '/src', env, binds, log }),
  );
  return { code, output: readFileSync(log, 'utf8') };
}

async function makePlace(name: string, target: Target, options: Options): Promise<Place> {
  const root = path.join(options.dir, 'roots', name);
  const log = (step: string) =>
    path.join(options.dir, 'logs', `${name}-${step.replace(/\W+/g, '-')}.log`);
  mkdirSync(path.join(options.dir, 'logs'), { recursive: true });
  removeLeftovers(root);
  const place: Place = { name, root, binds: [], env: {}, log };
  if (target.kind === 'debian') {
    const packages = [...new Set(testPrograms.flatMap((program) => program.packages))];
    const making = log('make');
    closeSync(openSync(making, 'w'));
    const { suite } = target;
    await makeDebianRoot({ root, suite, mirror: options.mirror, packages }, (title, start) =>
      mustRun(place, title, making, () => start(making)),
    );
    return place;
  }
  if (target.kind === 'crio') {
    const env = placeCrio(root, target, options.crio ?? '');
    const before = target.ociRuntime === 'crun' ? withoutUnified : undefined;
    return { ...place, env, before, binds: makeMachineRoot(root, process.execPath) };
  }
  const version = latestNode(target.version);
  say(`${name}: Node.js ${version}`);
  return { ...place, binds: makeMachineRoot(root, await nodeProgram(version)) };
}

/**
 * Copies CRI-O and what it runs into the root. Returns the environment by which the tests run on
 * it.
 */
function placeCrio(
  root: string,
  { ociRuntime, events }: Extract<Target, { kind: 'crio' }>,
  program: string,
): Record<string, string> {
  placeProgram(root, 'crio', program);
  for (const name of ['pinns', 'conmon', ociRuntime]) {
    placeProgram(root, name, crioHelper(program, name));
  }
  return {
    STOWAGE_TEST_CRIO: `${ownPrograms}/crio`,
    STOWAGE_TEST_OCI_RUNTIME: ociRuntime,
    STOWAGE_TEST_CRIO_EVENTS: events ? 'on' : 'off',
  };
}

/** Latest published version of a line: 22, 22.14. */
function latestNode(line: string): string {
  const range = `node-linux-${process.arch}@${line}`;
  const { stdout, stderr } = spawnSync('npm', ['view', range, 'version', '--json'], {
    encoding: 'utf8',
  });
  const found = JSON.parse(stdout || 'null') as string | string[] | null;
  const latest = [found ?? []]
    .flat()
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
  if (latest === undefined) throw new StepFailedError(`npm view ${range}: ${stderr.trim()}`);
  return latest;
}

/**
 * Copies a file or folder of the workspace to its place below `folder`, whole or not at all. Where
 * it is a link, what it points to.
 */
function placeCopy(folder: string, relative: string): void {
  const to = path.join(folder, relative);
  if (existsSync(to)) return;
  const copy = path.join(path.dirname(to), 'copying');
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(path.dirname(to), { recursive: true });
  execFileSync('cp', ['-aH', '--reflink=auto', path.join(project, relative), copy]);
  renameSync(copy, to);
}

/** Puts the files of the commit into `/src`, with the npm packages that are there already. */
async function placeWorkspace(place: Place, target: Target, commit: string): Promise<void> {
  const folder = path.join(place.root, 'src');
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) {
    if (name !== 'node_modules') rmSync(path.join(folder, name), { recursive: true, force: true });
  }
  // -c: a folder that belongs to another user than root is this project's too.
  const archive = ['-c', `safe.directory=${project}`, 'archive', '--format=tar', commit];
  const files = execFileSync('git', archive, { cwd: project, maxBuffer: 1 << 30 });
  execFileSync('tar', ['-x', '-C', folder], { input: files });
  if (target.kind !== 'debian' && !existsSync(path.join(folder, 'node_modules'))) {
    say(`${place.name}: copying npm packages`);
    placeCopy(folder, 'node_modules');
  }
  const install = "import('./tools/bootstrap.mjs').then((tools) => tools.ensurePackages())";
  const { code, output } = await inside(place, 'npm packages', ['node', '-e', install], 'machine');
  if (code !== 0) throw new StepFailedError(output.trimEnd().split('\n').slice(-20).join('\n'));
  // Tests fetch these where they are missing, which has no way out of a root.
  for (const version of nodeProgramsOfTests) {
    await nodeProgram(version);
    const program = `node-linux-${process.arch}-${version}`;
    placeCopy(folder, path.join('node_modules/.cache/stowage-node', program));
  }
  for (const tarball of await nodeTarballs()) placeCopy(folder, path.relative(project, tarball));
  const { kubectl } = await kubernetesPrograms();
  placeCopy(folder, path.relative(project, path.dirname(kubectl)));
}

/** Runs `npm test` with these arguments. */
async function runTests(place: Place, title: string, args: readonly string[]): Promise<TestRun> {
  const { output } = await inside(place, title, ['node', 'tools/test.mjs', ...args]);
  const run = readTestRun(output);
  if (run === undefined) {
    throw new StepFailedError(`the tests were broken off, see ${place.log(title)}`);
  }
  return run;
}

/** Runs all of one name. */
async function runName(name: string, commit: string, options: Options): Promise<MatrixResult> {
  const target = targets[name];
  if (target === undefined) throw new Error(`no name of the matrix: ${name}`);
  const place = await makePlace(name, target, options);
  await placeWorkspace(place, target, commit);
  const isOfServices = target.kind === 'crio';
  const critest = options.only.length > 0 || isOfServices ? undefined : options.critest;
  if (critest !== undefined) placeProgram(place.root, 'critest', critest);

  const identity = await inside(place, 'versions', ['sh', '-c', versionsScript]);
  const versions = readVersions(identity.output);
  const runs = [
    await runTests(place, 'tests', [
      ...(isOfServices ? integration : []),
      ...(isOfServices && options.only.length === 0 ? testsOnCrio : options.only),
    ]),
  ];
  const ofDockerShim = options.only.filter((only) => only.includes(dockerShim));
  if (hasContainerdImages(versions) && (options.only.length === 0 || ofDockerShim.length > 0)) {
    const env = { ...place.env, STOWAGE_TEST_DOCKER_IMAGE_STORE: 'containerd' };
    const title = 'tests with images of containerd';
    const paths = ofDockerShim.length > 0 ? ofDockerShim : [dockerShim];
    runs.push(await runTests({ ...place, env }, title, [...integration, ...paths]));
  }
  const testRun = together(runs);
  if (testRun.passed + testRun.failed === 0) throw new StepFailedError('no test was run');
  const { known, unexplained, failed } = explain(name, testRun, knownDifferences);
  for (const test of unexplained) say(`  failed: ${test}`);
  for (const { test, reason } of known) say(`  known: ${test}: ${reason}`);
  const isWhole = options.only.length === 0;
  const demo =
    isWhole && !isOfServices ? await inside(place, 'demo', ['node', 'tools/demo.mjs']) : undefined;
  const validated =
    critest === undefined
      ? undefined
      : await inside(place, 'critest', [
          'node',
          'tools/critest.mjs',
          '--critest',
          `${ownPrograms}/critest`,
        ]);
  return {
    name,
    date: new Date().toISOString().slice(0, 10),
    commit,
    versions,
    passed: testRun.passed,
    failed,
    known,
    demo: demo === undefined ? 'not run' : demo.code === 0 ? 'passed' : 'failed',
    critest:
      validated === undefined
        ? isOfServices
          ? 'not run'
          : 'not installed'
        : validated.code === 0
          ? 'passed'
          : 'failed',
  };
}

const readResults = (): MatrixResult[] =>
  JSON.parse(readFileSync(resultsFile, 'utf8')) as MatrixResult[];

function writeResults(results: readonly MatrixResult[]): void {
  writeFileSync(resultsFile, `${JSON.stringify(results, undefined, 2)}\n`);
  writeFileSync(path.join(project, 'docs/tested-versions.md'), testedVersions(results));
  const readme = path.join(project, 'README.md');
  writeFileSync(readme, withShortTable(readFileSync(readme, 'utf8'), results));
}

async function runAll(
  wanted: readonly string[],
  commit: string,
  options: Options,
  again: boolean,
): Promise<number> {
  // What an earlier run left that was killed, of whatever name.
  const roots = path.join(options.dir, 'roots');
  for (const name of existsSync(roots) ? readdirSync(roots) : []) {
    removeLeftovers(path.join(roots, name));
  }
  const problems: string[] = [];
  const isWhole = options.only.length === 0;
  for (const name of wanted) {
    if (now.interruptedBy !== undefined) break;
    if (isWhole && !again && isDone(name, commit, readResults())) {
      say(`${name}: has passed for ${commit.slice(0, 12)}; --again runs it again`);
      continue;
    }
    try {
      const result = await runName(name, commit, options);
      const { passed, failed, known, demo, critest } = result;
      say(
        `${name}: ${passed} passed, ${failed} failed, ${known.length} known differences` +
          (isWhole ? `; demo ${demo}; critest ${critest}` : ''),
      );
      if (!isPassed(result))
        problems.push(`${name}: ${failed} failed, demo ${demo}, critest ${critest}`);
      if (isWhole) writeResults(mergeResults(readResults(), [result], names));
    } catch (error) {
      say();
      problems.push(`${name}: ${errorMessage(error)}`);
    }
  }
  if (isWhole) say(`\n${resultsTable(readResults())}`);
  for (const problem of problems) say(problem);
  return problems.length > 0 ? 1 : 0;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      again: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      critest: { type: 'string' },
      crio: { type: 'string' },
      mirror: { type: 'string' },
      dir: { type: 'string', default: '/var/tmp/stowage-matrix' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    say(help.trimEnd());
    return 0;
  }
  const wanted = selectNames(positionals, values.crio);
  const crio = values.crio === undefined ? undefined : checkCrio(values.crio);
  const critest = findCritest(values.critest);
  const dir = path.resolve(values.dir);
  // Not by Node.js, whose mkdirSync never ends in a folder like /proc.
  const made = spawnSync('mkdir', ['-p', '-m', '0755', '--', dir], { encoding: 'utf8' });
  if (made.status !== 0) throw new UsageError(`--dir: ${made.stderr.trim()}`);
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', `safe.directory=${project}`, ...args], {
      cwd: project,
      encoding: 'utf8',
    }).trim();
  const commit = git('rev-parse', 'HEAD');
  if (git('status', '--porcelain') !== '') {
    say(
      `The working tree has changes that are not committed: what runs is ${commit.slice(0, 12)} without them.`,
    );
  }
  const options = { dir, only: values.only, critest, crio, mirror: values.mirror };
  return withLock(lockOfRoots(dir), () => runAll(wanted, commit, options, values.again), {
    onWait: () => say(`Another run has ${dir}: waiting until it ends ...`),
    signal: interrupted.signal,
  });
}

/** @throws {UsageError} when what was named is no program. */
function findCritest(named: string | undefined): string | undefined {
  if (named !== undefined) {
    if (!isProgram(named)) throw new UsageError(`--critest: ${named} is no program`);
    return path.resolve(named);
  }
  return (process.env.PATH ?? '')
    .split(':')
    .map((folder) => path.join(folder, 'critest'))
    .find(isProgram);
}

/**
 * Absolute path of the CRI-O that was named.
 *
 * @throws {UsageError} when it is not there, is none, or is too old.
 */
function checkCrio(named: string): string {
  const program = path.resolve(named);
  const { error, stdout, stderr } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (error !== undefined) throw new UsageError(`--crio ${named}: ${error.message}`);
  checkCrioVersion(named, `${stdout}${stderr}`);
  for (const name of ['pinns', 'conmon', 'runc', 'crun']) {
    try {
      crioHelper(program, name);
    } catch (failure) {
      throw new UsageError(errorMessage(failure));
    }
  }
  return program;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

const isUsageError = (error: unknown): boolean =>
  error instanceof UsageError ||
  (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;

void main()
  .catch((error: unknown) => {
    process.stderr.write(`${errorMessage(error)}\n`);
    return isUsageError(error) ? 64 : 1;
  })
  .then((code) => {
    const { interruptedBy } = now;
    process.exitCode =
      interruptedBy === undefined ? code : { SIGINT: 130, SIGTERM: 143 }[interruptedBy];
  });
