import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

interface Message {
  ruleId: string | null;
  message: string;
}

const nxRule = '@nx/enforce-module-boundaries';

/** A fixture, where it is taken to stand, and the one message that the rule must give there. */
const broken: [file: string, place: string, rule: string, message: string][] = [
  ...['imports-nestjs', 'imports-nats', 'imports-grpc', 'imports-prom-client'].map(
    (file): [string, string, string, string] => [
      file,
      'libs/image-ref/src/fixture.ts',
      nxRule,
      'A project tagged with "type:domain" is not allowed to import',
    ],
  ),
  [
    'imports-node-fs',
    'libs/image-ref/src/fixture.ts',
    'no-restricted-imports',
    "'node:fs' import is restricted from being used. Domain code does no input or output.",
  ],
  [
    'imports-net',
    'libs/errors/src/fixture.ts',
    'no-restricted-imports',
    "'net' import is restricted from being used. Domain code does no input or output.",
  ],
  [
    'imports-node-fs',
    'apps/gc-worker/src/collect/plan-collection.ts',
    'no-restricted-imports',
    "'node:fs' import is restricted from being used. Domain code does no input or output.",
  ],
  ...['apps/gc-worker/src/fixture.ts', 'apps/docker-shim/src/image/fixture.ts'].map(
    (place): [string, string, string, string] => [
      'imports-docker-sdk',
      place,
      'no-restricted-imports',
      "'@docker/node-sdk' import is restricted from being used. Only apps/docker-shim/src/engine/engine-client.ts knows Docker Engine's API.",
    ],
  ),
  [
    'imports-events',
    'libs/image-ref/src/fixture.ts',
    nxRule,
    'A project tagged with "type:domain" can only depend on libs tagged with "type:domain"',
  ],
  [
    'imports-nestjs',
    'libs/events/src/fixture.ts',
    nxRule,
    'A project tagged with "type:contract" is not allowed to import "@nestjs/common"',
  ],
  [
    'imports-nats',
    'libs/events/src/fixture.ts',
    nxRule,
    'A project tagged with "type:contract" is not allowed to import "nats"',
  ],
  [
    'imports-registry-auth',
    'libs/events/src/fixture.ts',
    nxRule,
    'A project tagged with "type:contract" can only depend on libs tagged with "type:domain", "type:contract"',
  ],
  [
    'imports-nats',
    'libs/commands/src/fixture.ts',
    nxRule,
    'A project tagged with "type:contract" is not allowed to import "nats"',
  ],
  [
    'imports-registry-auth',
    'libs/commands/src/fixture.ts',
    nxRule,
    'A project tagged with "type:contract" can only depend on libs tagged with "type:domain", "type:contract"',
  ],
  ...['commands', 'events'].map((lib): [string, string, string, string] => [
    'imports-node-fs',
    `libs/${lib}/src/fixture.ts`,
    'no-restricted-imports',
    "'node:fs' import is restricted from being used by a pattern. Contracts run in browsers too.",
  ]),
  [
    'imports-net',
    'libs/commands/src/fixture.ts',
    'no-restricted-imports',
    "'net' import is restricted from being used. Contracts run in browsers too.",
  ],
  [
    'imports-nestjs',
    'libs/cri-client/src/fixture.ts',
    nxRule,
    'A project tagged with "type:adapter" is not allowed to import "@nestjs/common"',
  ],
  [
    'imports-service-kit',
    'libs/cri-server/src/fixture.ts',
    nxRule,
    'A project tagged with "type:adapter" can only depend on libs tagged with "type:domain", "type:contract", "type:adapter"',
  ],
  [
    'imports-testing',
    'libs/service-kit/src/fixture.ts',
    nxRule,
    'A project tagged with "type:kit" can only depend on libs tagged with "type:domain", "type:contract", "type:adapter"',
  ],
  [
    'imports-testing',
    'libs/cri-client/src/fixture.ts',
    nxRule,
    'A project tagged with "type:adapter" can only depend on libs tagged with "type:domain", "type:contract", "type:adapter"',
  ],
  [
    'imports-testing',
    'apps/gc-worker/src/fixture.ts',
    nxRule,
    'A project tagged with "type:app" can only depend on libs tagged with "type:domain", "type:contract", "type:adapter", "type:kit"',
  ],
  [
    'imports-another-app',
    'apps/image-service/src/fixture.ts',
    nxRule,
    'Projects cannot be imported by a relative or absolute path, and must begin with a npm scope',
  ],
  [
    'imports-another-app',
    'apps/image-service/src/fixture.spec.ts',
    nxRule,
    'Projects cannot be imported by a relative or absolute path, and must begin with a npm scope',
  ],
  [
    'imports-app-from-lib',
    'libs/testing/src/fixture.ts',
    nxRule,
    'Projects cannot be imported by a relative or absolute path, and must begin with a npm scope',
  ],
  [
    'imports-lib-by-path',
    'libs/event-bus/src/fixture.ts',
    nxRule,
    'Projects cannot be imported by a relative or absolute path, and must begin with a npm scope',
  ],
  ...['libs/cri-client/src/fixture.ts', 'apps/gc-worker/src/fixture.ts', 'e2e/fixture.ts'].map(
    (place): [string, string, string, string] => [
      'imports-dockerode',
      place,
      'no-restricted-imports',
      "'dockerode' import is restricted from being used. Only apps/docker-shim/src/engine/engine-client.ts knows Docker Engine's API.",
    ],
  ),
  // What decides, by name, in whatever folder it stands.
  [
    'imports-node-fs',
    'apps/gc-worker/src/any/folder/plan-collection.ts',
    'no-restricted-imports',
    "'node:fs' import is restricted from being used. Domain code does no input or output.",
  ],
  ...['imports-nestjs', 'imports-nats', 'imports-grpc', 'imports-prom-client'].map(
    (file): [string, string, string, string] => [
      file,
      'apps/runtime-gateway/src/lifecycle.ts',
      'no-restricted-imports',
      'What decides knows no framework, no transport and no metrics.',
    ],
  ),
  [
    'imports-cri-client',
    'apps/image-service/src/pull-policy.ts',
    '@typescript-eslint/no-restricted-imports',
    'What decides takes types from adapters and the kit, no code.',
  ],
  [
    'looks-at-the-clock',
    'apps/image-service/src/back-off.ts',
    'no-restricted-properties',
    "'Date.now' is restricted from being used. Time comes in as an argument.",
  ],
  [
    'makes-a-date',
    'apps/gc-worker/src/threshold-event-data.ts',
    'no-restricted-syntax',
    'Time comes in as an argument.',
  ],
  [
    'throws-dice',
    'apps/image-service/src/back-off.ts',
    'no-restricted-properties',
    "'Math.random' is restricted from being used. Randomness comes in as an argument.",
  ],
  [
    'sets-a-timer',
    'apps/runtime-gateway/src/on-stop-container.ts',
    'no-restricted-globals',
    "Unexpected use of 'setTimeout'. Time, environment and the network come in as arguments.",
  ],
  // One dialect.
  ...['has-a-private-field', 'has-a-private-method'].map(
    (file): [string, string, string, string] => [
      file,
      'libs/event-bus/src/fixture.ts',
      'no-restricted-syntax',
      'Write #name; `private` is for parameters of constructors.',
    ],
  ),
  [
    'imports-a-type-as-a-value',
    'libs/event-bus/src/fixture.ts',
    '@typescript-eslint/consistent-type-imports',
    'All imports in the declaration are only used as types. Use `import type`.',
  ],
  [
    'imports-types-one-by-one',
    'libs/event-bus/src/fixture.ts',
    '@typescript-eslint/no-import-type-side-effects',
    'TypeScript will only remove the inline type specifiers',
  ],
  [
    'imports-twice',
    'libs/event-bus/src/fixture.ts',
    'no-duplicate-imports',
    "'node:net' import is duplicated.",
  ],
  [
    'imports-z',
    'libs/events/src/fixture.ts',
    'no-restricted-syntax',
    "Write import * as z from 'zod'; its z brings every language into the bundle.",
  ],
  [
    'uses-test',
    'libs/event-bus/src/fixture.spec.ts',
    'no-restricted-globals',
    "Unexpected use of 'test'. Write it(...).",
  ],
  ...['spreads-an-optional-field', 'spreads-by-and'].map(
    (file): [string, string, string, string] => [
      file,
      'apps/gc-worker/src/fixture.ts',
      'no-restricted-syntax',
      'Write the field: what is undefined is not in the event.',
    ],
  ),
  [
    'has-a-long-comment',
    'libs/event-bus/src/fixture.ts',
    'max-len',
    'This line has a comment length of 119. Maximum allowed is 100.',
  ],
];

const allowed: [file: string, place: string][] = [
  ['imports-image-ref', 'libs/errors/src/fixture.ts'],
  ['imports-zod', 'libs/events/src/fixture.ts'],
  ['imports-zod', 'libs/commands/src/fixture.ts'],
  ['imports-events', 'libs/commands/src/fixture.ts'],
  ['imports-commands', 'libs/service-kit/src/fixture.ts'],
  ['imports-cri-client', 'libs/service-kit/src/fixture.ts'],
  ['imports-commands', 'libs/command-client/src/fixture.ts'],
  ['imports-nats', 'libs/command-client/src/fixture.ts'],
  ['imports-command-client', 'apps/gc-worker/src/fixture.ts'],
  ['imports-grpc', 'libs/cri-proto/src/fixture.ts'],
  ['imports-cri-proto', 'libs/cri-client/src/fixture.ts'],
  ['imports-nats', 'libs/event-bus/src/fixture.ts'],
  ['imports-nestjs', 'libs/event-bus/src/fixture.module.ts'],
  ['imports-node-fs', 'libs/event-bus/src/fixture.ts'],
  ['imports-nestjs', 'libs/service-kit/src/fixture.ts'],
  ['imports-events', 'libs/service-kit/src/fixture.ts'],
  ['imports-cri-client', 'apps/gc-worker/src/fixture.ts'],
  ['imports-service-kit', 'apps/gc-worker/src/fixture.ts'],
  ['imports-node-fs', 'apps/gc-worker/src/fixture.ts'],
  ['imports-node-fs', 'libs/image-ref/src/fixture.spec.ts'],
  ['imports-dockerode', 'apps/docker-shim/src/engine/engine-client.ts'],
  ['imports-cri-client-type', 'apps/image-service/src/pull-policy.ts'],
  ['looks-at-the-clock', 'apps/image-service/src/fixture.ts'],
  ['imports-node-fs', 'apps/gc-worker/src/plan-collection.spec.ts'],
  ['has-a-private-parameter', 'libs/event-bus/src/fixture.ts'],
  ['writes-an-optional-field', 'apps/gc-worker/src/fixture.ts'],
  ['imports-docker-sdk', 'apps/docker-shim/src/engine/engine-client.ts'],
  ['imports-testing', 'libs/cri-client/src/fixture.it.spec.ts'],
  ['imports-testing', 'apps/gc-worker/src/fixture.it.spec.ts'],
  ['imports-testing', 'e2e/fixture.ts'],
  ['imports-testing', 'bench/fixture.ts'],
];

let answers: Message[][] = [];

beforeAll(() => {
  const cases = [...broken, ...allowed].map(([file, place]) => ({ file: `${file}.ts`, place }));
  const lint = spawnSync(process.execPath, [path.join(__dirname, 'lint-fixtures.mjs')], {
    input: JSON.stringify(cases),
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  answers = JSON.parse(lint.stdout) as Message[][];
});

it.each(broken.map((entry, index) => [...entry, index] as const))(
  '%s in %s breaks %s',
  (_file, _place, ruleId, message, index) => {
    expect(answers[index]).toEqual([{ ruleId, message: expect.stringContaining(message) }]);
  },
);

it.each(allowed.map(([file, place], index) => [file, place, index] as const))(
  '%s in %s is allowed',
  (_file, _place, index) => {
    expect(answers[broken.length + index]).toEqual([]);
  },
);

it('every fixture is used', () => {
  const used = new Set([...broken, ...allowed].map(([file]) => `${file}.ts`));
  expect(readdirSync(path.join(__dirname, 'boundary-fixture'))).toEqual([...used].sort());
});

it('the configuration names decision files that exist', () => {
  const config = readFileSync(path.join(__dirname, '../eslint.config.mjs'), 'utf8');
  const [, list = ''] = /const decisionFiles = \[(.*?)\]\.map/s.exec(config) ?? [];
  const names = [...list.matchAll(/'([^']+)'/g)].map(([, name = '']) => name);
  const files = readdirSync(path.join(__dirname, '../apps'), { recursive: true, encoding: 'utf8' });
  const there = files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => path.basename(file, '.ts'));
  const missing = names.filter((name) => {
    const pattern = new RegExp(`^${name.replace('*', '.*')}$`);
    return !there.some((file) => pattern.test(file));
  });
  expect(names.length).toBeGreaterThan(25);
  expect(missing).toEqual([]);
});
