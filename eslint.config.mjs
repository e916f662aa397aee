import nx from '@nx/eslint-plugin';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/**
 * Who may depend on whom. The table stands in CONTRIBUTING.md; tools/boundaries.spec.ts proves that
 * it bites.
 */
const frameworks = ['@nestjs/*', 'rxjs', 'reflect-metadata'];
const transports = ['@grpc/*', 'nice-grpc*', 'nats'];
const depConstraints = [
  {
    sourceTag: 'type:domain',
    onlyDependOnLibsWithTags: ['type:domain'],
    bannedExternalImports: [...frameworks, ...transports, 'prom-client', 'pino', 'better-sqlite3*'],
  },
  {
    sourceTag: 'type:contract',
    onlyDependOnLibsWithTags: ['type:domain', 'type:contract'],
    bannedExternalImports: [...frameworks, 'nats', 'prom-client', 'pino', 'better-sqlite3*'],
  },
  {
    sourceTag: 'type:adapter',
    onlyDependOnLibsWithTags: ['type:domain', 'type:contract', 'type:adapter'],
    bannedExternalImports: frameworks,
  },
  {
    sourceTag: 'type:kit',
    onlyDependOnLibsWithTags: ['type:domain', 'type:contract', 'type:adapter'],
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
  'conformance/*/*.conformance.ts',
  'e2e/**',
  'bench/**',
  '{apps,libs}/*/src/testing/**',
];
const domainFiles = [
  'libs/image-ref/src/**/*.ts',
  'libs/errors/src/**/*.ts',
  'libs/kubernetes-yaml/src/**/*.ts',
  'libs/tracing/src/**/*.ts',
];
/**
 * Files of the services that decide: what to collect, which credential is next, what an event says.
 * By name, in whatever folder they stand; tools/boundaries.spec.ts says when a name finds no file
 * any more.
 */
const decisionFiles = [
  // gc-worker
  'apply-detection',
  'assess-disk',
  'break-down',
  'collect',
  'collection-health',
  'differences',
  'exceeded-threshold',
  'exempt',
  'exempt-pattern',
  'image-contents',
  'image-hints',
  'image-record',
  'image-use',
  'keep-rules',
  'layer-shares',
  'linear-pattern',
  'maintenance',
  'plan-collection',
  'policy',
  'removal-pauses',
  'thresholds',
  'trend',
  'collecting-health',
  'shadow-collection',
  'shadow-plans',
  '*event-data',
  // image-service
  'back-off',
  'classify-pull-error',
  'ensure-error',
  'image-names',
  'pull-coalescer',
  'pull-error-text',
  'pull-policy',
  'pull-size-class',
  'pulled-record',
  'refused-reference',
  'short-names',
  'verification-policy',
  // runtime-gateway
  'cri-facts',
  'event-stream-mode',
  'exit-cause',
  'known-objects',
  'known-or-listed',
  'lifecycle',
  'list-*',
  'on-*',
  'readonly-verdict',
  'relist',
  'report-exit',
  'uncorrelated-changes',
  // docker-shim
  'container-metrics',
  'cpu-rates',
  'kernel-text',
  'known-containers',
  'sum-usages',
  'bit-rate',
  'capability-args',
  'cni-config',
].map((name) => `apps/*/src/**/${name}.ts`);
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

/** Packages that a file must not import, each list with the reason. */
const noImport = (names, message) => names.map((name) => ({ name, message }));
const sqlitePackages = noImport(['better-sqlite3', 'better-sqlite3-napi'], 'Use @stowage/sqlite.');
/** The only code that knows Docker Engine's API. */
const engineClient = 'apps/docker-shim/src/engine/engine-client.ts';
const engineClients = noImport(
  ['dockerode', 'docker-modem', '@docker/node-sdk'],
  `Only ${engineClient} knows Docker Engine's API.`,
);
/** Domain libraries and contracts: what decides may use their code. */
const purePackages = [
  'async',
  'commands',
  'cri-proto',
  'errors',
  'events',
  'go-duration',
  'image-ref',
  'kubernetes-yaml',
  'tracing',
];
const domainIo = noImport(nodeIo, 'Domain code does no input or output.');

const boundaries = (constraints) => ({
  '@nx/enforce-module-boundaries': [
    'error',
    { enforceBuildableLibDependency: false, allow: [], depConstraints: constraints },
  ],
});

/** One way to write what can be written in several; CONTRIBUTING.md says why this one. */
const restrictedSyntax = [
  {
    selector: 'ExportAllDeclaration',
    message: 'Name each export (style: named exports, one by one).',
  },
  { selector: 'ExportDefaultDeclaration', message: 'Use a named export.' },
  {
    selector: "ImportDeclaration[source.value='zod'] > ImportSpecifier",
    message: "Write import * as z from 'zod'; its z brings every language into the bundle.",
  },
  {
    selector: [
      "PropertyDefinition[accessibility='private'][declare=false][decorators.length=0]",
      "MethodDefinition[accessibility='private'][kind!='constructor'][decorators.length=0]",
    ].join(', '),
    message: 'Write #name; `private` is for parameters of constructors.',
  },
];
const restrictedGlobals = [{ name: 'test', message: 'Write it(...).' }];
const optionalFields = ['undefined', 'null'].flatMap((word) => {
  const right = word === 'null' ? "right.raw='null'" : "right.name='undefined'";
  const message = `Write the field: what is ${word} is not in the event.`;
  const named = ':not(:has(> ObjectExpression > Property[computed=true]))';
  return [
    `SpreadElement > ConditionalExpression[test.operator=/^===?$/][test.${right}][consequent.properties.length=0]${named}`,
    `SpreadElement > ConditionalExpression[test.operator=/^!==?$/][test.${right}][alternate.properties.length=0]${named}`,
    `SpreadElement > LogicalExpression[operator='&&'][left.operator=/^!==?$/][left.${right}][right.type='ObjectExpression']${named}`,
  ].map((selector) => ({ selector, message }));
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
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { prefer: 'type-imports', fixStyle: 'inline-type-imports' },
      ],
      '@typescript-eslint/no-import-type-side-effects': 'error',
      'no-duplicate-imports': 'error',
      // Prettier wraps code, not comments.
      'max-len': [
        'error',
        { code: 1000, comments: 100, ignoreUrls: true, ignorePattern: 'eslint-disable|@ts-expect' },
      ],
      'no-restricted-globals': ['error', ...restrictedGlobals],
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
      'no-restricted-syntax': ['error', ...restrictedSyntax],
      eqeqeq: ['error', 'always', { null: 'never' }],
    },
  },
  {
    // better-sqlite3 comes as two packages; libs/sqlite knows which of them goes with the Node.js
    // that runs.
    files: ['**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { paths: [...sqlitePackages, ...engineClients] }] },
  },
  {
    files: ['libs/sqlite/**'],
    rules: { 'no-restricted-imports': ['error', { paths: engineClients }] },
  },
  {
    files: [engineClient],
    rules: { 'no-restricted-imports': ['error', { paths: sqlitePackages }] },
  },
  {
    files: domainFiles,
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-imports': ['error', { paths: [...domainIo, ...engineClients] }],
    },
  },
  {
    // Events are made in the services.
    files: ['apps/*/src/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', ...restrictedSyntax, ...optionalFields] },
  },
  {
    files: decisionFiles,
    ignores: ['**/*.spec.ts', '**/testing/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [...domainIo, ...sqlitePackages, ...engineClients],
          patterns: [
            {
              group: [...frameworks, ...transports, 'prom-client', 'pino'],
              message: 'What decides knows no framework, no transport and no metrics.',
            },
          ],
        },
      ],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: `^@stowage/(?!(${purePackages.join('|')})($|/))`,
              message: 'What decides takes types from adapters and the kit, no code.',
              allowTypeImports: true,
            },
          ],
        },
      ],
      'no-restricted-globals': [
        'error',
        ...restrictedGlobals,
        ...['performance', 'process', 'setTimeout', 'setInterval', 'setImmediate', 'fetch'].map(
          (name) => ({ name, message: 'Time, environment and the network come in as arguments.' }),
        ),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Time comes in as an argument.' },
        { object: 'Math', property: 'random', message: 'Randomness comes in as an argument.' },
      ],
      'no-restricted-syntax': [
        'error',
        ...restrictedSyntax,
        ...optionalFields,
        {
          selector: "NewExpression[callee.name='Date'][arguments.length=0]",
          message: 'Time comes in as an argument.',
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
          paths: [
            ...noImport(
              nodeIo.filter((name) => !name.startsWith('node:')),
              'Contracts run in browsers too.',
            ),
            ...engineClients,
          ],
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
          ? { ...constraint, bannedExternalImports: [] }
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
  {
    // Adapters run what a project keeps inside, and stand apart from what ships.
    files: ['conformance/*/*.conformance.ts'],
    rules: { '@nx/enforce-module-boundaries': 'off' },
  },
);
