import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { errorMessage } from '@stowage/errors';
import { CommandFailure } from '../failures';

/** A key of a service, as its --help describes it. */
export interface ConfigKeyText {
  readonly env: string;
  readonly yaml: string;
  readonly kubelet?: string;
  readonly meaning: string;
  readonly defaultText: string;
  readonly allowed: string;
}

/** A value that counts, and where it came from. */
export interface ConfigValue {
  readonly yaml: string;
  /** As --check-config prints it: secrets are redacted. */
  readonly value: unknown;
  /** `default`, `environment`, or a file. */
  readonly origin: string;
}

/** What a service would run with. */
export interface ServiceConfig {
  readonly values: readonly ConfigValue[];
  readonly warnings: readonly string[];
  /** Why it would not start; `values` is then empty. */
  readonly problem?: string;
}

/** What a service runs with: its own variables and arguments. */
export interface ServiceProcess {
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  /** `the running process 4711`, or `this environment`. */
  readonly source: string;
}

/** Folder that has the folders of the services in it: the one beside this program's. */
const appsFolder = (): string => path.dirname(path.dirname(realpathSync(process.argv[1] ?? '.')));

const programOf = (app: string): string => path.join(appsFolder(), app, 'main.js');

/** Services that are installed beside this program. */
export function installedServices(): string[] {
  return readdirSync(appsFolder())
    .filter((app) => app !== 'stowctl' && existsSync(programOf(app)))
    .sort();
}

/** A service's process by its number; undefined where it is not seen, or is another program. */
export function readProcess(app: string, pid: number): ServiceProcess | undefined {
  const read = (file: string): string[] =>
    readFileSync(`/proc/${pid}/${file}`, 'utf8')
      .split('\0')
      .filter((text) => text !== '');
  try {
    const command = read('cmdline');
    const at = command.findIndex((word) => word.endsWith(`${app}/main.js`));
    if (at < 0) return undefined;
    const env = Object.fromEntries(
      read('environ').map((line) => [line.split('=', 1)[0] ?? '', line.replace(/^[^=]*=/, '')]),
    );
    return { env, args: command.slice(at + 1), source: `the running process ${pid}` };
  } catch {
    return undefined;
  }
}

/** The environment of this program, for a service that does not run. */
export function ownEnvironment(env: Readonly<Record<string, string | undefined>>): ServiceProcess {
  const entries = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return { env: Object.fromEntries(entries), args: [], source: 'this environment' };
}

const flagsWithFile = ['--config', '--kubelet-config', '--kubelet-config-dir'];

/** The arguments that say where the configuration is. */
function configArguments(args: readonly string[]): string[] {
  return args.flatMap((arg, index) => {
    if (flagsWithFile.some((flag) => arg.startsWith(`${flag}=`))) return [arg];
    return flagsWithFile.includes(arg) ? [arg, args[index + 1] ?? ''] : [];
  });
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runService(
  app: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Ended> {
  const program = programOf(app);
  if (!existsSync(program)) {
    throw new CommandFailure(
      `${app} is not installed beside stowctl: there is no ${program}`,
      'run the stowctl that belongs to the services, in the folder or image with them',
    );
  }
  return new Promise((resolve, reject) => {
    const options = { env, signal, timeout: 30_000, maxBuffer: 16 << 20 };
    execFile(process.execPath, [program, ...args], options, (error, stdout, stderr) => {
      const code = error == null ? 0 : error.code;
      if (typeof code === 'number') resolve({ code, stdout, stderr });
      else reject(new CommandFailure(`${app} cannot be run: ${errorMessage(error)}`));
    });
  });
}

/** What a service would run with in this environment. It checks itself, so both always agree. */
export async function checkedConfig(
  app: string,
  { env, args }: ServiceProcess,
  signal: AbortSignal,
): Promise<ServiceConfig> {
  const ended = await runService(app, ['--check-config', ...configArguments(args)], env, signal);
  if (ended.code !== 0) {
    return { values: [], warnings: [], problem: ended.stderr.trim() || `exit code ${ended.code}` };
  }
  return parseCheck(ended.stdout);
}

/** Reads what --check-config prints. */
export function parseCheck(text: string): ServiceConfig {
  const lines = text.split('\n');
  return {
    warnings: lines.flatMap((line) => /^# warning: (.*)$/.exec(line)?.[1] ?? []),
    values: lines.flatMap((line) => {
      const [, yaml = '', rest = ''] = /^ {2}(\w+): (.*)$/.exec(line) ?? [];
      const at = rest.lastIndexOf(' # ');
      if (yaml === '' || at < 0) return [];
      const value = JSON.parse(rest.slice(0, at)) as unknown;
      return [{ yaml, value, origin: rest.slice(at + 3) }];
    }),
  };
}

/** The keys of a service. */
export async function configKeys(app: string, signal: AbortSignal): Promise<ConfigKeyText[]> {
  const { stdout } = await runService(app, ['--help'], {}, signal);
  return parseHelp(stdout);
}

/** Reads the keys that --help prints. */
export function parseHelp(text: string): ConfigKeyText[] {
  const pattern =
    /^(STOWAGE_\w+) {2}\((\w+)\*?(?:, kubelet: (\w+))?\)\n {4}(.*)\n {4}default: (.*?); allowed: (.*)$/gm;
  return [...text.matchAll(pattern)].map(
    ([, env = '', yaml = '', kubelet, meaning = '', defaultText = '', allowed = '']) => ({
      env,
      yaml,
      kubelet,
      meaning,
      defaultText,
      allowed,
    }),
  );
}
