import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describeKeys, type ConfigDefinition, type ConfigKeys } from '@stowage/service-kit';
import { appNames, configOf } from '../app-folders';
import { root } from './markdown';

/** What commands of pages are held against. */
export interface Facts {
  /** Of package.json. */
  readonly version: string;
  readonly scripts: Readonly<Record<string, string>>;
  /** Definitions of the configuration of each service. */
  readonly configs: Readonly<Record<string, ConfigDefinition<ConfigKeys>>>;
  /** Variables that some program of the repository reads. */
  readonly variables: ReadonlySet<string>;
  /** Ports of the services' HTTP addresses, without configuration. */
  readonly httpPorts: ReadonlySet<string>;
  /** Paths of sockets that services have without configuration. */
  readonly sockets: ReadonlySet<string>;
  /** Units of the Debian package. */
  readonly units: ReadonlySet<string>;
  /** Reads a command line of stowctl as it does itself; throws what it would say. */
  readonly parseStowctl: (argv: readonly string[]) => void;
}

/** What the tools, examples and compose file read, which no service does. */
const foreignVariables: Readonly<Record<string, string>> = {
  STOWAGE_NATS_PASSWORD: 'examples/event-subscriber/main.ts',
  STOWAGE_TEST_CRIO: 'libs/testing/src/test-runtime.ts',
  STOWAGE_TEST_OCI_RUNTIME: 'libs/testing/src/test-runtime.ts',
  STOWAGE_TEST_CRIO_EVENTS: 'libs/testing/src/test-runtime.ts',
  STOWAGE_TEST_DOCKER_IMAGE_STORE: 'libs/testing/src/docker-engine.ts',
};

interface CommandLine {
  readonly commands: readonly object[];
  readonly parseLine: (argv: readonly string[], commands: readonly object[]) => unknown;
}

export async function readFacts(): Promise<Facts> {
  const { version, scripts } = JSON.parse(
    readFileSync(path.join(root, 'package.json'), 'utf8'),
  ) as Pick<Facts, 'version' | 'scripts'>;
  const entries = await Promise.all(
    appNames.map(async (app) => [app, await configOf(app)] as const),
  );
  const configs = Object.fromEntries(entries) as unknown as Facts['configs'];
  const variables = entries.flatMap(([, config]) => describeKeys(config).map(({ env }) => env));
  const keyOf = (app: string, name: string): unknown => configs[app]?.keys[name]?.default;
  const httpPorts = appNames.map((app) => String(keyOf(app, 'httpAddr')).split(':')[1] ?? '');
  const listeners = appNames.flatMap((app) =>
    ['listen', 'listenReadonly'].flatMap((name) => {
      const socket = keyOf(app, name);
      return typeof socket === 'string' && socket !== '' ? [socket] : [];
    }),
  );
  return {
    ...{ version, scripts, configs },
    variables: new Set([...variables, ...checked(foreignVariables)]),
    httpPorts: new Set(httpPorts),
    sockets: new Set([...listeners, ...appNames.map((app) => `/run/stowage/${app}.cmd.sock`)]),
    units: new Set(readdirSync(path.join(root, 'deploy/debian/systemd'))),
    parseStowctl: await stowctlParser(),
  };
}

/** Names of variables whose file names them indeed. */
function checked(names: Readonly<Record<string, string>>): string[] {
  for (const [name, file] of Object.entries(names)) {
    const there = path.join(root, file);
    if (!existsSync(there) || !readFileSync(there, 'utf8').includes(name)) {
      throw new Error(`${file} does not read ${name}`);
    }
  }
  return Object.keys(names);
}

async function stowctlParser(): Promise<Facts['parseStowctl']> {
  const load = (file: string): Promise<CommandLine> =>
    import(path.join(root, 'apps/stowctl/src', file)) as Promise<CommandLine>;
  const { commands } = await load('commands/table.ts');
  const { parseLine } = await load('command-line/parse.ts');
  return (argv) => void parseLine(argv, commands);
}
