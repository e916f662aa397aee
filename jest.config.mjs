import { readFileSync } from 'node:fs';

/** Path aliases come from tsconfig.base.json, the one place that names the libraries. */
const { compilerOptions } = JSON.parse(
  readFileSync(new URL('./tsconfig.base.json', import.meta.url), 'utf8'),
);
const moduleNameMapper = Object.fromEntries(
  Object.entries(compilerOptions.paths).map(([alias, [target]]) => [
    `^${alias}$`,
    `<rootDir>/${target.replace('./', '')}`,
  ]),
);

const shared = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  moduleNameMapper,
  transform: {
    '^.+\\.[cm]?tsx?$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true },
        },
        module: { type: 'commonjs' },
      },
    ],
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.nx/'],
};

export default {
  rootDir: import.meta.dirname,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/{apps,libs,conformance,deploy,examples,tools}/**/*.spec.ts'],
      testPathIgnorePatterns: ['/node_modules/', '\\.(it|crio)\\.spec\\.ts$'],
    },
    {
      ...shared,
      displayName: 'integration',
      testMatch: [
        '<rootDir>/{apps,libs,deploy,e2e,examples,tools}/**/*.it.spec.ts',
        // What is about CRI-O alone, where there is one.
        ...(process.env.STOWAGE_TEST_CRIO ? ['<rootDir>/{apps,libs}/**/*.crio.spec.ts'] : []),
      ],
    },
  ],
  testTimeout: 240_000,
  watchman: false,
};
