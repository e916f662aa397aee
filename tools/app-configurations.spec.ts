import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  describeKeys,
  loadConfig,
  type ConfigDefinition,
  type ConfigKeys,
} from '@stowage/service-kit';
import { appNames, configOf } from './app-folders';

const root = path.resolve(__dirname, '..');

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

describe.each(appNames)('%s', (app) => {
  it('listens for HTTP on the loopback by default, and in its container image everywhere', async () => {
    const { config } = await load(app, {});
    const { httpAddr } = config as { httpAddr: string };
    expect(httpAddr).toMatch(/^127\.0\.0\.1:94\d\d$/);
    const [, stage] = readFileSync(path.join(root, 'Dockerfile'), 'utf8').split(
      `FROM service AS ${app}\n`,
    );
    if (stage === undefined) return;
    const address = httpAddr.replace('127.0.0.1', '');
    expect(stage.split('\n')[0]).toBe(`ENV STOWAGE_HTTP_ADDR=${address}`);
    const compose = readFileSync(path.join(root, 'docker-compose.yml'), 'utf8');
    expect(compose).toContain(`STOWAGE_HTTP_ADDR: ${address}\n`);
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
