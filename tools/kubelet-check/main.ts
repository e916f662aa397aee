/**
 * Plays scenarios with a real kubelet on containerd, or docker-shim, itself and through Stowage's
 * other sockets, each way in namespaces of its own, and compares what was seen. Exit code 1 when
 * something differs that no known difference explains.
 */
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '@stowage/errors';
import { withLock } from '@stowage/testing';
import { ensurePrograms, root as project, systemPrograms } from '../bootstrap.mjs';
import {
  enter,
  removeControlGroup,
  removeLeftovers,
  type Bind,
  type Entered,
} from '../matrix/enter';
import { targets } from '../matrix/names';
import { environment, lockOfRoots, makeDebianRoot, makeMachineRoot } from '../matrix/roots';
import { controlGroupOf } from './control-group';
import { differences, surprises, type Difference } from './compare';
import { knownDifferences } from './known-differences';
import { bare, ways, type ControlPlane, type Way } from './lab';
import { playedFile, recordingFile, type Play, type Played } from './play';
import { scenarios } from './scenarios';

/** Roots that a suite of Debian with its own containerd lies in. */
const suites = Object.entries(targets).flatMap(([name, target]) =>
  target.kind === 'debian' ? [{ name, suite: target.suite }] : [],
);

/** Where the programs that are given lie inside of a root. */
const programs = '/opt/kubelet-check';

const inside: ControlPlane = {
  program: `${programs}/kube-apiserver`,
  etcd: `${programs}/etcd`,
};

const whatIsNeeded = { 'api-server': ' (with --apiserver and --etcd)', docker: ' (with --docker)' };

const help = `usage: npm run kubelet:check -- --kubelet FILE [OPTION ...]

Runs a kubelet on a runtime itself and through Stowage's sockets, plays the same scenarios on each way, and
compares what is seen. The runtime is containerd, or docker-shim on a Docker Engine. All of it runs in folders, namespaces and a control group of its own; nothing is left behind.

ways:
${ways.map(({ name, text }) => `  ${name.padEnd(12)} ${text}`).join('\n')}

scenarios:
${scenarios.map(({ name, text, onlyWith, needs }) => `  ${name.padEnd(14)} ${text}${onlyWith === undefined ? '' : ` (with --${onlyWith})`}${needs === undefined ? '' : whatIsNeeded[needs]}`).join('\n')}

options:
  --kubelet FILE     the program, of Kubernetes 1.34 to 1.37
  --apiserver FILE   kube-apiserver of the same minor version, for the scenarios that need one
  --etcd FILE        of version 3.5 or later, for the API server
  --containerd WHAT  machine (that of this machine), ${suites.map(({ name }) => name).join(', ')} (a root with that suite of Debian), or a FILE
                     with its shim beside it. May be repeated; default: machine and debian-testing
  --docker WHAT      docker-shim on the Docker Engine of machine, or of a suite, in the place of containerd. May be repeated
  --only NAMES       scenarios, separated by commas; default: all
  --ways NAMES       ways beside bare, separated by commas; default: all
  --soak MINUTES     also the soak, for so long on each way (bare: a tenth of it)
  --record FILE      instead: writes kubelet's calls for some pods, through the gateway, into FILE (for the tests of this tool)
  --mirror URI       of Debian; default: that of apt's configuration
  --dir FOLDER       where roots and logs lie, as for npm run matrix; default: /var/tmp/stowage-matrix
  --help
`;

const say = (line = ''): void => void process.stdout.write(`${line}\n`);

class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface Options {
  readonly kubelet: string;
  readonly controlPlane: ControlPlane | undefined;
  readonly dir: string;
  readonly scenarios: readonly string[];
  readonly ways: readonly Way[];
  readonly soakMinutes: number;
  readonly mirror: string | undefined;
  readonly record: string | undefined;
}

/** A runtime to run on, with the files around it. */
interface Place {
  readonly name: string;
  readonly docker: boolean;
  readonly root: string;
  readonly binds: readonly Bind[];
  /** Comes before PATH. */
  readonly first?: string;
}

/** Longest time for one way, milliseconds, without the soak. */
const wayLimitMs = 90 * 60_000;

/** What runs now, and whether a signal has asked for the end. */
const now: { step?: Entered; interruptedBy?: 'SIGINT' | 'SIGTERM' } = {};
/** Asked for anew each time: it changes while something is waited for. */
const interruptedBy = (): 'SIGINT' | 'SIGTERM' | undefined => now.interruptedBy;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (now.interruptedBy !== undefined) return;
    now.interruptedBy = signal;
    say(`\n${signal}: ending what runs, up to a minute ...`);
    void now.step?.stop();
  });
}
const stopIfInterrupted = (): void => {
  if (now.interruptedBy !== undefined) throw new Error('interrupted');
};

/** Runs something in namespaces to its end, and removes what outlives them. */
async function run(place: Place, limitMs: number, start: () => Entered): Promise<number> {
  stopIfInterrupted();
  const step = (now.step = start());
  const limit = setTimeout(() => void step.stop(), limitMs);
  try {
    return await step.ended;
  } finally {
    clearTimeout(limit);
    now.step = undefined;
    clean(place.root);
  }
}

/** Removes what a run leaves outside of its namespaces. */
function clean(root: string): void {
  removeControlGroup(controlGroupOf(root));
  removeLeftovers(root);
}

async function makePlace(
  { what, docker }: Target,
  { dir, mirror, kubelet, controlPlane }: Options,
): Promise<Place> {
  const suite = suites.find(({ name }) => name === what)?.suite;
  const name = what === 'machine' || suite !== undefined ? what : 'given';
  const root = path.join(dir, 'roots', suite === undefined ? `kubelet-${name}` : name);
  const title = docker ? `${name}, docker-shim` : name;
  mkdirSync(root, { recursive: true });
  const binds: Bind[] = [
    { from: project, to: '/src' },
    { from: realpathSync(kubelet), to: `${programs}/kubelet` },
    { from: realpathSync(process.execPath), to: `${programs}/node` },
  ];
  if (controlPlane !== undefined) {
    binds.push({ from: realpathSync(controlPlane.program), to: inside.program });
    binds.push({ from: realpathSync(controlPlane.etcd), to: inside.etcd });
  }
  const packages = path.join(project, 'node_modules');
  if (lstatSync(packages).isSymbolicLink()) {
    binds.push({ from: realpathSync(packages), to: realpathSync(packages) });
  }
  if (suite === undefined) {
    binds.push(...makeMachineRoot(root, process.execPath));
    if (name === 'machine') return { name: title, docker, root, binds };
    const first = `${programs}/containerd`;
    binds.push({ from: path.dirname(realpathSync(what)), to: first });
    return { name: what, docker, root, binds, first };
  }
  ensurePrograms(
    [{ find: 'debootstrap', packages: ['debootstrap', 'debian-archive-keyring'] }],
    `to make a root of Debian ${suite}`,
  );
  const log = path.join(dir, 'logs', `${name}-make.log`);
  mkdirSync(path.dirname(log), { recursive: true });
  const ofStack = [...new Set(systemPrograms.flatMap((program) => program.packages))];
  const place: Place = { name: title, docker, root, binds };
  await makeDebianRoot({ root, suite, mirror, packages: ofStack }, async (title, start) => {
    say(`${name}: ${title} ...`);
    const code = await run(place, wayLimitMs, () => start(log));
    if (code !== 0) throw new Error(`${title} ended with ${code}, see ${log}`);
  });
  return place;
}

/** Folder inside of a root that what was seen on a way, and logs, are kept in. */
const reportOf = (way: string): string => `/var/tmp/kubelet-check/${way}`;

/** Plays the scenarios on one way. */
async function playOn(place: Place, way: Way, options: Options): Promise<Played> {
  say(`${place.name}, ${way.name}: ${way.text}`);
  clean(place.root);
  const report = reportOf(way.name);
  const kept = path.join(place.root, report);
  rmSync(kept, { recursive: true, force: true });
  const play: Play = {
    way: way.name,
    scenarios: options.scenarios,
    kubelet: `${programs}/kubelet`,
    ...(options.controlPlane !== undefined && { controlPlane: inside }),
    controlGroup: controlGroupOf(place.root),
    docker: place.docker,
    report,
    soakMinutes: options.soakMinutes,
    record: options.record !== undefined,
  };
  const env = environment('own');
  if (place.first !== undefined) env.PATH = `${place.first}:${env.PATH}`;
  env.TSX_TSCONFIG_PATH = '/src/tsconfig.json';
  const command = [`${programs}/node`, '--import', 'tsx', 'tools/kubelet-check/play.ts'];
  const limitMs = wayLimitMs + options.soakMinutes * 60_000;
  const code = await run(place, limitMs, () =>
    enter(place.root, [...command, JSON.stringify(play)], {
      network: 'own',
      folder: '/src',
      env,
      binds: place.binds,
    }),
  );
  stopIfInterrupted();
  const file = path.join(kept, playedFile);
  if (code !== 0 || !existsSync(file)) {
    throw new Error(`${way.name} ended with ${code}; logs: ${kept}`);
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Played;
}

/** Prints how a scenario went on a way. Returns how much of it nothing explains. */
function report(scenario: string, way: Way, own: Played, through: Played): number {
  const [direct, played] = [own.scenarios[scenario], through.scenarios[scenario]];
  const title = `  ${scenario}, ${way.name}:`;
  if (played === undefined) {
    say(`${title} was not played`);
    return 1;
  }
  if ('error' in played) {
    say(`${title} could not be played: ${played.error}`);
    return 1;
  }
  const expected = scenarios.find(({ name }) => name === scenario)?.expected ?? {};
  const unexpected = surprises(expected, played.seen, { isBare: way === bare }).map((one) => ({
    ...one,
    wanted: `expected ${one.wanted}`,
  }));
  const differing =
    way === bare || direct === undefined || 'error' in direct
      ? []
      : differences(scenario, direct.seen, played.seen, knownDifferences);
  const unexplained = [...unexpected, ...differing].filter(({ reason }) => reason === undefined);
  const known = differing.filter(({ reason }) => reason !== undefined);
  say(
    `${title} ${Object.keys(played.seen).length} observations` +
      (way === bare ? '' : `, ${known.length} known differences`) +
      `, ${unexplained.length} unexplained`,
  );
  for (const reason of new Set(known.map((one) => one.reason))) {
    const of = known.filter((one) => one.reason === reason).map(({ what }) => what);
    say(`    known (${of.length}): ${reason}`);
  }
  for (const one of unexplained) sayDifference(one);
  return unexplained.length;
}

function sayDifference({ what, wanted, seen }: Difference): void {
  say(`    ${what}`);
  say(`      ${wanted.trimEnd().replaceAll('\n', '\n      ')}`);
  say(`      but ${seen.trimEnd().replaceAll('\n', '\n      ')}`);
}

/** All ways on one runtime. Returns how much nothing explains. */
async function check(target: Target, asked: Options): Promise<number> {
  const isOfTarget = (scenario: string): boolean =>
    target.docker || scenarios.find(({ name }) => name === scenario)?.needs !== 'docker';
  const options: Options = { ...asked, scenarios: asked.scenarios.filter(isOfTarget) };
  const place = await makePlace(target, options);
  if (options.record !== undefined) {
    const suite = ways.filter(({ name }) => name === 'suite');
    for (const way of suite) await playOn(place, way, options);
    cpSync(path.join(place.root, reportOf('suite'), recordingFile), options.record);
    return 0;
  }
  const own = await playOn(place, bare, options);
  let unexplained = 0;
  for (const way of [bare, ...options.ways]) {
    const played = way === bare ? own : await playOn(place, way, options);
    if (way === bare) {
      const { kubelet, runtime, runc, kernel } = played.versions;
      say(`${place.name}: kubelet ${kubelet}, ${runtime}, runc ${runc}, Linux ${kernel}`);
    }
    for (const name of options.scenarios) unexplained += report(name, way, own, played);
  }
  return unexplained;
}

/** A runtime that is asked for. */
interface Target {
  /** `machine`, the name of a suite, or the file of a containerd. */
  readonly what: string;
  readonly docker: boolean;
}

function readOptions(): { targets: readonly Target[]; options: Options } | undefined {
  const { values } = parseArgs({
    options: {
      kubelet: { type: 'string' },
      apiserver: { type: 'string' },
      etcd: { type: 'string' },
      containerd: { type: 'string', multiple: true },
      docker: { type: 'string', multiple: true, default: [] },
      only: { type: 'string' },
      ways: { type: 'string' },
      soak: { type: 'string', default: '0' },
      record: { type: 'string' },
      mirror: { type: 'string' },
      dir: { type: 'string', default: '/var/tmp/stowage-matrix' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  if (values.kubelet === undefined) {
    throw new UsageError(
      '--kubelet FILE is missing. kubelet belongs to Kubernetes, which offers it for download: https://dl.k8s.io/VERSION/bin/linux/ARCH/kubelet',
    );
  }
  const kubelet = programFile(values.kubelet);
  const controlPlane = controlPlaneOf(values.apiserver, values.etcd);
  const soakMinutes = Number(values.soak);
  if (!(soakMinutes >= 0 && soakMinutes <= 1440)) {
    throw new UsageError(`--soak ${values.soak}: a number of minutes from 0 to 1440 is needed`);
  }
  const asked = pick('scenario', values.only, scenarios);
  const without = asked.find(({ needs }) => needs === 'api-server');
  if (values.only !== undefined && without !== undefined && controlPlane === undefined) {
    throw new UsageError(`${without.name} needs --apiserver FILE and --etcd FILE`);
  }
  const onEngine = asked.find(({ needs }) => needs === 'docker');
  if (values.only !== undefined && onEngine !== undefined && values.docker.length === 0) {
    throw new UsageError(`${onEngine.name} needs --docker WHAT`);
  }
  const chosen = asked.filter(
    ({ onlyWith, needs }) =>
      (onlyWith !== 'soak' || soakMinutes > 0) &&
      (needs !== 'api-server' || controlPlane !== undefined),
  );
  if (chosen.length === 0) throw new UsageError(`--only ${values.only ?? ''} needs --soak MINUTES`);
  const others = ways.filter((way) => way !== bare);
  const places = ['machine', ...suites.map(({ name }) => name)];
  const { docker, containerd = docker.length > 0 ? [] : ['machine', 'debian-testing'] } = values;
  const wrong = docker.find((what) => !places.includes(what));
  if (wrong !== undefined) {
    throw new UsageError(`--docker ${wrong}: there are ${places.join(', ')}`);
  }
  return {
    targets: [
      ...containerd.map((what) => ({
        what: places.includes(what) ? what : programFile(what),
        docker: false,
      })),
      ...docker.map((what) => ({ what, docker: true })),
    ],
    options: {
      kubelet,
      controlPlane,
      soakMinutes,
      dir: path.resolve(values.dir),
      mirror: values.mirror,
      record: values.record === undefined ? undefined : path.resolve(values.record),
      scenarios: chosen.map(({ name }) => name),
      ways: pick('way', values.ways, others),
    },
  };
}

function pick<T extends { readonly name: string }>(
  kind: string,
  wanted: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (wanted === undefined) return all;
  const names = wanted.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !all.some((one) => one.name === name));
  if (unknown.length > 0) {
    throw new UsageError(
      `no ${kind} is called ${unknown.join(', ')}; there are ${all.map(({ name }) => name).join(', ')}`,
    );
  }
  return all.filter(({ name }) => names.includes(name));
}

/** The two belong together: one without the other is a mistake. */
function controlPlaneOf(program?: string, etcd?: string): ControlPlane | undefined {
  if (program === undefined && etcd === undefined) return undefined;
  if (program === undefined) throw new UsageError('--etcd FILE needs --apiserver FILE');
  if (etcd === undefined) throw new UsageError('--apiserver FILE needs --etcd FILE');
  return { program: programFile(program), etcd: programFile(etcd) };
}

function programFile(file: string): string {
  const absolute = path.resolve(file);
  try {
    accessSync(absolute, constants.X_OK);
  } catch {
    throw new UsageError(`${file} is not there, or is no program`);
  }
  return absolute;
}

async function main(): Promise<number> {
  const read = readOptions();
  if (read === undefined) {
    say(help.trimEnd());
    return 0;
  }
  const { targets: wanted, options } = read;
  mkdirSync(options.dir, { recursive: true, mode: 0o755 });
  return withLock(lockOfRoots(options.dir), async () => {
    let failures = 0;
    for (const target of wanted) {
      if (interruptedBy() !== undefined) break;
      try {
        failures += await check(target, options);
      } catch (error) {
        if (interruptedBy() !== undefined) break;
        say(`${target.what}: ${errorMessage(error)}`);
        failures += 1;
      }
    }
    const signal = interruptedBy();
    if (signal !== undefined) return signal === 'SIGINT' ? 130 : 143;
    say(failures === 0 ? 'no unexplained difference' : `${failures} unexplained`);
    return failures === 0 ? 0 : 1;
  });
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`${errorMessage(error)}\n`);
    const isUsage =
      error instanceof UsageError ||
      (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
    process.exitCode = isUsage ? 64 : 1;
  },
);
