import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  describeKeys,
  loadConfig,
  type ConfigDefinition,
  type ConfigKeys,
} from '@stowage/service-kit';
import { parse } from 'yaml';
import { appNames, configOf, releasedApps } from './app-folders';

const root = path.resolve(__dirname, '..');
const dockerfile = readFileSync(path.join(root, 'Dockerfile'), 'utf8');

/** As much of a service of docker-compose.yml as is looked at. */
interface ComposeService {
  readonly build?: { readonly args?: Readonly<Record<string, unknown>> };
  readonly network_mode?: string;
  readonly ports?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

const { services } = parse(readFileSync(path.join(root, 'docker-compose.yml'), 'utf8'), {
  merge: true,
}) as { readonly services: Readonly<Record<string, ComposeService | undefined>> };

const load = async (app: string, env: Record<string, string>) => {
  const outcome = await loadConfig((await configOf(app)) as ConfigDefinition<ConfigKeys>, {
    argv: [],
    env,
    version: '0.0.0',
    hostName: 'node-a',
    readFile: () => {
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    },
  });
  if (outcome.action === 'exit') throw new Error(outcome.output);
  return outcome;
};

const httpAddrOf = async (app: string): Promise<string> => {
  const { config } = await load(app, {});
  return (config as { httpAddr: string }).httpAddr;
};

describe.each(releasedApps)('the container image of %s', (app) => {
  it('listens for HTTP on the port of the default', async () => {
    const port = (await httpAddrOf(app)).replace('127.0.0.1:', '');
    const service = services[app];
    expect(service?.build?.args).toMatchObject({ APP: app, HTTP_PORT: Number(port) });
    const { network_mode: network, ports, environment } = service ?? {};
    // In a network of its own on all interfaces, of which the host's loopback has one port.
    if (network === undefined) {
      expect(dockerfile).toContain('\nENV STOWAGE_HTTP_ADDR=:${HTTP_PORT}\n');
      expect(environment).not.toHaveProperty('STOWAGE_HTTP_ADDR');
      expect(ports).toEqual([
        expect.stringMatching(new RegExp(`^127\\.0\\.0\\.1:\\$\\{[A-Z_]+:-${port}\\}:${port}$`)),
      ]);
    } else {
      expect(network).toBe('host');
      expect(environment?.STOWAGE_HTTP_ADDR).toMatch(
        new RegExp(`^\\$\\{[A-Z_]+:-127\\.0\\.0\\.1\\}:\\$\\{[A-Z_]+:-${port}\\}$`),
      );
    }
  });
});

describe.each(appNames)('%s', (app) => {
  it('listens for HTTP on the loopback by default, on a port of its own', async () => {
    const addresses = await Promise.all(appNames.map(httpAddrOf));
    const own = await httpAddrOf(app);
    expect(own).toMatch(/^127\.0\.0\.1:94\d\d$/);
    expect(addresses.filter((address) => address === own)).toHaveLength(1);
  });

  it('takes no variable of another app for a misspelt one of its own', async () => {
    const envOf = async (name: string) => describeKeys(await configOf(name)).map(({ env }) => env);
    const all = new Set((await Promise.all(appNames.map(envOf))).flat());
    expect(all.size).toBeGreaterThan(50);
    for (const own of await envOf(app)) all.delete(own);
    const { notes } = await load(app, Object.fromEntries([...all].map((name) => [name, '1'])));
    expect(notes).toEqual([]);
  });
});

it.each([
  ['docs/operations.md', 'runtime-gateway'],
  ['docs/docker-shim.md', 'docker-shim'],
])('%s: the socket unit listens where %s does', async (page, app) => {
  const { config } = await load(app, {});
  const [, unit] =
    /^```ini\n(# \S+\.socket.*?)^```$/ms.exec(readFileSync(path.join(root, page), 'utf8')) ?? [];
  const { listen } = config as { listen: string };
  expect(unit?.match(/^ListenStream=(.*)$/m)?.[1]).toBe(listen);
  expect(unit).toContain(`stowage-${app}.socket`);
});
