import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { checkInput, commandsOf, type CommandApp } from '@stowage/commands';
import { streamName } from '@stowage/events';
import { loadConfig } from '@stowage/service-kit';
import picomatch from 'picomatch';
import type { Facts } from './facts';
import { root } from './markdown';
import { commandsIn, type SimpleCommand } from './shell-words';

/** What is wrong with the words of a program, with `words[0]` its name. */
type Check = (
  words: readonly string[],
  facts: Facts,
  command: SimpleCommand,
) => string[] | Promise<string[]>;

const nothing: Check = () => [];

/**
 * What is wrong with the commands of a text, as far as that is seen without running them: programs,
 * scripts, commands, flags, files, units, sockets, variables and payloads that do not exist. Empty
 * when all is well.
 */
export async function problemsOf(script: string, facts: Facts): Promise<string[]> {
  const found = await Promise.all(
    commandsIn(script).map(async (command) => [
      ...(await problemsOfProgram(command, facts)),
      ...[...command.words, ...command.files].flatMap((word) => problemsOfWord(word, facts)),
    ]),
  );
  const named = script.match(/\bSTOWAGE_[A-Z0-9_]+\b/g) ?? [];
  const unknown = named.filter((name) => !isVariable(name, facts));
  return [...found.flat(), ...unknown.map((name) => `nothing reads ${name}`)];
}

/** Names of streams are written as variables are; passwords of accounts have the account's name. */
export const isVariable = (name: string, { variables }: Pick<Facts, 'variables'>): boolean =>
  variables.has(name) ||
  [streamName, 'STOWAGE_DEAD_LETTERS'].includes(name) ||
  /^STOWAGE_PASSWORD_/.test(name);

async function problemsOfProgram(command: SimpleCommand, facts: Facts): Promise<string[]> {
  const words = [...command.words];
  const program = words[0];
  if (program === undefined) return [];
  const check = Object.hasOwn(programs, program) ? programs[program] : undefined;
  if (check === undefined) return [`nothing here knows the program ${program}`];
  return check(words, facts, command);
}

/** Folders of the repository that paths in commands begin with. */
const ownFolder =
  /^(?:\.\/|~\/stowage\/|\$OLDPWD\/|\$PWD\/)?((?:apps|bench|conformance|deploy|dist|docs|e2e|examples|libs|tools)\/\S*)$/;

function problemsOfWord(word: string, facts: Facts): string[] {
  const [, own] = ownFolder.exec(word) ?? [];
  if (own !== undefined) return problemsOfPath(own.replace(/:$/, ''), facts);
  const socket = /\/run\/stowage\/[\w.-]+\.sock/.exec(word)?.[0];
  if (socket !== undefined && !facts.sockets.has(socket)) return [`no service has ${socket}`];
  return [];
}

/** Files that are built, by what they are called for this version. */
function problemsOfPath(file: string, { version }: Facts): string[] {
  const [, app] = /^dist\/apps\/([\w-]+)\/main\.js$/.exec(file) ?? [];
  const source = app === undefined ? file : `apps/${app}/src/main.ts`;
  if (file.startsWith('dist/') && app === undefined) {
    const built = [
      `dist/debian/stowage_${version}-1_amd64.deb`,
      ...['events', 'commands'].flatMap((name) => [
        `dist/packages/stowage-${name}-${version}.tgz`,
        `dist/packages/stowage-${name}-*.tgz`,
      ]),
    ];
    return built.includes(file) ? [] : [`nothing builds ${file}`];
  }
  return isThere(source) ? [] : [`there is no ${file}`];
}

/** Whether a file is there, or one that a pattern in its last part names. */
function isThere(file: string): boolean {
  if (!file.includes('*')) return existsSync(path.join(root, file));
  const [folder, pattern] = [path.join(root, path.dirname(file)), path.basename(file)];
  return existsSync(folder) && readdirSync(folder).some((name) => picomatch.isMatch(name, pattern));
}

const flagsIn = (words: readonly string[]): string[] =>
  words.flatMap((word) => /^--?[a-z][\w-]*/.exec(word)?.[0] ?? []);

/** Flags that the text of a program and of what it starts does not name. */
function unknownFlags(words: readonly string[], files: readonly string[]): string[] {
  const sources = files.map((file) => readFileSync(path.join(root, file), 'utf8'));
  const started = sources
    .flatMap((text) => [...text.matchAll(/'(tools\/[\w/-]+\.ts)'/g)].map(([, file = '']) => file))
    .filter((file) => existsSync(path.join(root, file)))
    .map((file) => readFileSync(path.join(root, file), 'utf8'));
  const text = [...sources, ...started].join('\n');
  return flagsIn(words)
    .filter((flag) => {
      const name = flag.replace(/^--?/, '');
      return !text.includes(flag) && !new RegExp(`^\\s*'?${name}'?: \\{ `, 'm').test(text);
    })
    .map((flag) => `${files.join(', ')} knows no ${flag}`);
}

const npm: Check = (words, { scripts }) => {
  const [, verb = '', name = ''] = words;
  if (['ci', 'install', 'init'].includes(verb)) return [];
  const script = verb === 'run' ? name : verb;
  const line = scripts[script];
  if (line === undefined) return [`package.json has no script ${script}`];
  const given = words.slice(words.indexOf('--') + 1);
  if (!words.includes('--')) return [];
  const files = line.split(' ').filter((word) => /^[\w./-]+\.(mjs|ts)$/.test(word));
  return unknownFlags(given, files);
};

const node: Check = async (words, facts, { assignments }) => {
  const [, file = '', ...args] = words;
  const own = file.replace(/^\$PWD\//, '');
  const [, app] = /^dist\/apps\/([\w-]+)\/main\.js$/.exec(own) ?? [];
  if (app === 'stowctl') return stowctl(['stowctl', ...args], facts, noCommand);
  if (app !== undefined) return service(app, args, assignments, facts);
  if (own === 'tools/run-ts.mjs') {
    const [program = '', ...given] = args;
    const flags = given.filter((word) => !word.startsWith('['));
    return existsSync(path.join(root, program))
      ? unknownFlags(flags, [program])
      : [`there is no ${program}`];
  }
  if (!existsSync(path.join(root, own))) return [`there is no ${own}`];
  return unknownFlags(args, [own]);
};

const noCommand: SimpleCommand = { assignments: {}, words: [], files: [] };

const kubeletConfiguration = [
  'apiVersion: kubelet.config.k8s.io/v1beta1',
  'kind: KubeletConfiguration',
  '',
].join('\n');

/** What a service says to its command line and variables. */
async function service(
  app: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  { configs }: Facts,
): Promise<string[]> {
  const config = configs[app];
  if (config === undefined) return [`there is no service ${app}`];
  const outcome = await loadConfig(config, {
    argv: [...argv, ...(argv.includes('--help') ? [] : ['--check-config', '--strict'])],
    env,
    version: '0.0.0',
    hostName: 'worker-1',
    readFile: (file) => {
      if (file.startsWith('/var/lib/kubelet/')) return kubeletConfiguration;
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    },
  });
  return outcome.action === 'exit' && outcome.code !== 0 ? [outcome.output] : [];
}

const stowctl: Check = (words, { parseStowctl }) => {
  try {
    parseStowctl(words.slice(1));
    return [];
  } catch (error) {
    return [`stowctl: ${(error as Error).message}`];
  }
};

/** A program that is given another one. */
const runs =
  (skip: (word: string) => boolean): Check =>
  (words, facts, command) => {
    const first = words.findIndex((word, index) => index > 0 && !skip(word));
    if (first < 0) return [];
    const assigned = words.slice(1, first).filter((word) => word.includes('='));
    const assignments = Object.fromEntries(
      assigned.map((word) => [word.split('=')[0], word.slice(word.indexOf('=') + 1)]),
    ) as Record<string, string>;
    const inner = { ...command, assignments, words: words.slice(first) };
    return problemsOfProgram(inner, facts);
  };

const systemctl: Check = (words, { units }) => {
  const [verb = '', ...names] = words.slice(1).filter((word) => !word.startsWith('--'));
  if (!/^(start|stop|restart|enable|disable|reload|status)$/.test(verb)) {
    return [`systemctl has no ${verb}`];
  }
  return names
    .filter((name) => name.startsWith('stowage'))
    .filter((name) => {
      const unit = /\.(service|socket)$/.test(name) ? name : `${name}.service`;
      // An instance of a template, which operations.md shows how to make.
      return !units.has(unit.replace(/@[^.]*(\.\d+)*(?=\.service)/, ''));
    })
    .map((name) => `the package has no unit ${name}`);
};

/** The command that a subject of NATS, or a path on a socket, is for. */
function commandProblems(app: string, verb: string, payload: string | undefined): string[] {
  const command = commandsOf(app as CommandApp).find((one) => one.verb === verb);
  if (command === undefined) return [`there is no command ${app}.${verb}`];
  if (payload === undefined || payload === '') return [];
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return [`${app}.${verb}: ${payload} is no JSON`];
  }
  const checked = checkInput(command, value);
  return 'problem' in checked ? [`${app}.${verb}: ${checked.field}: ${checked.problem}`] : [];
}

const valueFlags = ['--server', '--config', '--timeout', '--subjects'];

const nats: Check = (words) => {
  const rest = words.slice(1).filter((word, index, all) => {
    return !word.startsWith('--') && !valueFlags.includes(all[index - 1] ?? '');
  });
  const [verb = '', what = '', payload] = rest;
  if (verb === 'request' || verb === 'req') {
    const [, app = '', command = ''] = /^stowage\.cmd\.[^.]+\.([\w-]+)\.([\w-]+)$/.exec(what) ?? [];
    return commandProblems(app, command, payload);
  }
  if (verb === 'stream' || verb === 'consumer') {
    const known = [streamName, 'STOWAGE_DEAD_LETTERS'];
    return known.includes(rest[2] ?? '') ? [] : [`there is no stream ${rest[2] ?? ''}`];
  }
  return [`nats ${verb} is not known here`];
};

const curl: Check = (words, { httpPorts }) => {
  const url = words.find((word) => word.startsWith('http')) ?? '';
  const socket = words[words.indexOf('--unix-socket') + 1] ?? '';
  if (words.includes('--unix-socket')) {
    const [, app = ''] = /^\/run\/stowage\/([\w-]+)\.cmd\.sock$/.exec(socket) ?? [];
    const [, verb, query] = /^http:\/\/localhost\/v1(?:\/(\w+))?(?:\?(\w+))?$/.exec(url) ?? [];
    if (query !== undefined && query !== 'follow') return [`${url}: ?${query} is not known`];
    const data = words.includes('-d') ? words[words.indexOf('-d') + 1] : undefined;
    if (verb === undefined) return url === 'http://localhost/v1' ? [] : [`${url} is not served`];
    return commandProblems(app, verb, data);
  }
  const [, port = '', page] = /^http:\/\/127\.0\.0\.1:(\d+)(\/\w*)$/.exec(url) ?? [];
  if (!httpPorts.has(port)) return [`no service listens where ${url} is`];
  return page !== undefined && ['/', '/healthz', '/readyz', '/metrics'].includes(page)
    ? []
    : [`no service serves ${url}`];
};

/** Files of the compose file's own. */
const docker: Check = (words) =>
  ['compose', 'build', 'ps', 'system'].includes(words[1] ?? '')
    ? []
    : [`docker ${words[1] ?? ''} is not known here`];

/** Programs that pages have people type, and what is checked of their words. */
const programs: Readonly<Record<string, Check>> = {
  ...{ npm, node, stowctl, systemctl, nats, curl, docker },
  sudo: runs((word) => word.startsWith('-') || /^[A-Z_]+=/.test(word)),
  alias: (words, facts) => problemsOf((words[1] ?? '').replace(/^[^=]*=/, ''), facts),
  npx: nothing,
  // Real Helm and kubectl read these: kubernetes.it.spec.ts.
  ...{ helm: nothing, kubectl: nothing },
  // Programs of others.
  ...{
    crictl: nothing,
    cosign: nothing,
    gh: nothing,
    go: nothing,
    ssh: nothing,
    promtool: nothing,
  },
  ...{ 'apt-get': nothing, unshare: nothing, python3: nothing, crontab: nothing },
  ...{ 'venv/bin/pip': nothing, 'venv/bin/python': nothing, sha256sum: nothing },
  // What every system has.
  ...{ cd: nothing, cp: nothing, ln: nothing, rm: nothing, install: nothing, mkdir: nothing },
  ...{ echo: nothing, printf: nothing, umask: nothing, unalias: nothing, kill: nothing },
  ...{ hostname: nothing, openssl: nothing, sed: nothing, tr: nothing, grep: nothing },
  ...{ head: nothing, tail: nothing, wc: nothing, mktemp: nothing, git: nothing, df: nothing },
  ...{ journalctl: nothing, iostat: nothing, for: nothing },
};
