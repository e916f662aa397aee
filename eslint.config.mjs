import nx from '@nx/eslint-plugin';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/** Who may depend on whom. The table stands in CONTRIBUTING.md; tools/boundaries.spec.ts proves that it bites. */
const frameworks = ['@nestjs/*', 'rxjs', 'reflect-metadata'];
const dockerClients = ['dockerode', '@docker/node-sdk'];
const transports = ['@grpc/*', 'nice-grpc*', 'nats'];
const depConstraints = [
  {
    sourceTag: 'type:domain',
    onlyDependOnLibsWithTags: ['type:domain'],
    bannedExternalImports: [
      ...frameworks,
      ...transports,
      'prom-client',
      'pino',
      'better-sqlite3*',
      ...dockerClients,
    ],
  },
  {
    sourceTag: 'type:contract',
    onlyDependOnLibsWithTags: ['type:domain', 'type:contract'],
    bannedExternalImports: [
      ...frameworks,
      'nats',
      'prom-client',
      'pino',
      'better-sqlite3*',
      ...dockerClients,
    ],
  },
  {
    sourceTag: 'type:adapter',
    onlyDependOnLibsWithTags: ['type:domain', 'type:contract', 'type:adapter'],
    bannedExternalImports: [...frameworks, ...dockerClients],
  },
  {
    sourceTag: 'type:kit',
    onlyDependOnLibsWithTags: ['type:domain', 'type:contract', 'type:adapter'],
    bannedExternalImports: dockerClients,
  },
  {
    sourceTag: 'type:app',
    onlyDependOnLibsWithTags: ['type:domain', 'type:contract', 'type:adapter', 'type:kit'],
  },
  {
    sourceTag: 'type:testing',
    onlyDependOnLibsWithTags: [
      'type:domain',
      'type:contract',
      'type:adapter',
      'type:kit',
      'type:testing',
    ],
  },
  { sourceTag: 'type:tool', onlyDependOnLibsWithTags: ['*'] },
];

const tests = [
  '**/*.spec.ts',
  '**/*.conformance.ts',
  'e2e/**',
  'bench/**',
  '{apps,libs}/*/src/testing/**',
];
const domainFiles = [
  'libs/image-ref/src/**/*.ts',
  'libs/errors/src/**/*.ts',
  'libs/kubernetes-yaml/src/**/*.ts',
  'libs/tracing/src/**/*.ts',
  'apps/gc-worker/src/collect/plan-collection.ts',
];
/** Contracts that a web page can use too. */
const browserFiles = ['libs/commands/src/**/*.ts', 'libs/events/src/**/*.ts'];
const nodeIo = [
  'fs',
  'fs/promises',
  'net',
  'http',
  'http2',
  'https',
  'child_process',
  'dgram',
  'tls',
  'worker_threads',
].flatMap((name) => [name, `node:${name}`]);

/** better-sqlite3 comes as two packages; libs/sqlite knows which of them goes with the Node.js that runs. */
const sqliteBindings = ['better-sqlite3', 'better-sqlite3-napi'].map((name) => ({
  name,
  message: 'Use @stowage/sqlite.',
}));
/** The only code that knows Docker Engine's API. */
const engineClient = 'apps/docker-shim/src/engine/engine-client.ts';
const enginesApi = dockerClients.map((name) => ({
  name,
  message: `Only ${engineClient} knows Docker Engine's API.`,
}));
const restrictedImports = (paths) => ({ 'no-restricted-imports': ['error', { paths }] });

const boundaries = (constraints) => ({
  '@nx/enforce-module-boundaries': [
    'error',
    { enforceBuildableLibDependency: false, allow: [], depConstraints: constraints },
  ],
});

export default tseslint.config(
  {
    ignores: [
      '**/node_modules',
      'dist',
      'coverage',
      '.nx',
      'libs/cri-proto/src/gen',
      'conformance/vectors',
      '**/boundary-fixture/**',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, prettier],
    plugins: { '@nx': nx },
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      ...boundaries(depConstraints),
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-extraneous-class': [
        'error',
        { allowWithDecorator: true, allowEmpty: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: true },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ExportAllDeclaration',
          message: 'Name each export (style: named exports, one by one).',
        },
        { selector: 'ExportDefaultDeclaration', message: 'Use a named export.' },
      ],
      eqeqeq: ['error', 'always', { null: 'never' }],
    },
  },
  {
    files: ['**/*.ts'],
    ignores: ['libs/sqlite/**', engineClient],
    rules: restrictedImports([...sqliteBindings, ...enginesApi]),
  },
  { files: ['libs/sqlite/**/*.ts'], rules: restrictedImports(enginesApi) },
  // For its types.
  { files: [engineClient], rules: restrictedImports(sqliteBindings) },
  {
    files: domainFiles,
    ignores: ['**/*.spec.ts', '**/*.conformance.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: nodeIo.map((name) => ({ name, message: 'Domain code does no input or output.' })),
        },
      ],
    },
  },
  {
    files: browserFiles,
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: nodeIo
            .filter((name) => !name.startsWith('node:'))
            .map((name) => ({ name, message: 'Contracts run in browsers too.' })),
          patterns: [{ group: ['node:*'], message: 'Contracts run in browsers too.' }],
        },
      ],
    },
  },
  {
    // Where an adapter offers itself as a NestJS module, and only there, it knows NestJS.
    files: ['libs/*/src/**/*.module.ts'],
    rules: boundaries(
      depConstraints.map((constraint) =>
        constraint.sourceTag === 'type:adapter'
          ? { ...constraint, bannedExternalImports: dockerClients }
          : constraint,
      ),
    ),
  },
  {
    // Tests, benches and the demo may start the real stack; nothing that ships may.
    files: tests,
    rules: {
      ...boundaries(
        depConstraints.map((constraint) =>
          constraint.onlyDependOnLibsWithTags[0] === '*'
            ? constraint
            : {
                sourceTag: constraint.sourceTag,
                onlyDependOnLibsWithTags: [
                  ...constraint.onlyDependOnLibsWithTags,
                  'type:testing',
                  'type:kit',
                  'type:adapter',
                  'type:contract',
                ],
              },
        ),
      ),
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
