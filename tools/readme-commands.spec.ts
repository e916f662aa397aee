import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { commandSubject } from '@stowage/events';
import { loadConfig, type ConfigDefinition, type ConfigKeys } from '@stowage/service-kit';
import { configOf } from './app-folders';

/** Commands of the READMEs as a shell runs them, with a `nats` that prints what it was given. */

const root = path.resolve(__dirname, '..');
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-readme-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function program(name: string, script: string): void {
  const file = path.join(dir, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

/** What `nats` is given by a line, in words. */
function argumentsOf(line: string, hostName: string): string[] {
  program('hostname', `echo ${hostName}`);
  program('nats', 'for word in "$@"; do echo "$word"; done');
  const env = { PATH: `${dir}:${process.env.PATH ?? ''}` };
  return execFileSync('sh', ['-c', line], { cwd: dir, env, encoding: 'utf8' })
    .trimEnd()
    .split('\n');
}

const lines = (file: string): string[] =>
  readFileSync(path.join(root, file), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('nats ') && line.includes('stowage.cmd.'));

describe.each(['node-1', 'Node-1.Example.COM', 'ip-10-0-0-5.ec2.internal'])(
  'on a host that is called %s',
  (hostName) => {
    it.each([
      ['README.md', 'gc-worker', 'plan'],
      ['apps/gc-worker/README.md', 'gc-worker', 'plan'],
      ['apps/runtime-gateway/README.md', 'runtime-gateway', 'pods'],
      ['docs/image-service.md', 'image-service', 'ensure'],
    ])('%s: the command reaches the service', async (file, app, verb) => {
      const outcome = await loadConfig((await configOf(app)) as ConfigDefinition<ConfigKeys>, {
        argv: [],
        env: {},
        version: '0.0.0',
        hostName,
        readFile: () => {
          throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        },
      });
      if (outcome.action === 'exit') throw new Error(outcome.output);
      const { nodeName } = outcome.config as { nodeName: string };
      const own = lines(file).filter(
        (line) => line.includes('hostname') && !line.includes('--server'),
      );
      expect(own).toHaveLength(1);
      expect(argumentsOf(own[0] ?? '', hostName)[1]).toBe(commandSubject(nodeName, app, verb));
    });
  },
);

it('under compose: login and node are those that the services get from .env', () => {
  const compose = readFileSync(path.join(root, 'docker-compose.yml'), 'utf8');
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  const [, user] = /nats:\/\/(\w+):\$\{NATS_PASSWORD/.exec(compose) ?? [];
  const makesEnv = /^\(umask 077 && .*>\.env\)/m.exec(readme)?.[0] ?? '';
  expect(compose).toContain(makesEnv);
  expect(compose).toContain('STOWAGE_NODE_NAME: ${STOWAGE_NODE_NAME:-');
  program('openssl', 'echo 0123abcd');
  const [line = ''] = lines('README.md').filter((one) => one.includes('--server'));
  const given = argumentsOf(`${makesEnv}\n${line}`, 'Some.Host');
  const env = readFileSync(path.join(dir, '.env'), 'utf8');
  const [, node = ''] = /^STOWAGE_NODE_NAME=(.*)$/m.exec(env) ?? [];
  expect(given).toEqual([
    '--server',
    `nats://${user ?? ''}:0123abcd@127.0.0.1:4222`,
    'request',
    commandSubject(node, 'gc-worker', 'plan'),
    '{}',
  ]);
  expect(node).toBe('some.host');
});
