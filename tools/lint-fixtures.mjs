// Lints fixture files as if they stood elsewhere, with the workspace's own eslint.config.mjs: reads
// `[{ file, place }]` as JSON from stdin and writes, for each, the messages of the rules of this house.
// A process of its own because the configuration is an ES module, which Jest cannot import.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ESLint } from 'eslint';
import { createProjectGraphAsync } from 'nx/src/devkit-exports.js';
import tseslint from 'typescript-eslint';

const root = path.resolve(import.meta.dirname, '..');
const provenRules = [
  '@nx/enforce-module-boundaries',
  '@typescript-eslint/consistent-type-imports',
  '@typescript-eslint/no-import-type-side-effects',
  '@typescript-eslint/no-restricted-imports',
  'max-len',
  'no-duplicate-imports',
  'no-restricted-globals',
  'no-restricted-imports',
  'no-restricted-properties',
  'no-restricted-syntax',
];

process.env.NX_DAEMON = 'false';
// The boundary rule reads the stored graph of projects, and lets everything pass where there is none.
await createProjectGraphAsync({ exitOnError: true });

const eslint = new ESLint({
  cwd: root,
  // The places hold no such files, so the TypeScript service cannot know their types; the rules need none.
  overrideConfig: [tseslint.configs.disableTypeChecked],
});
const cases = JSON.parse(readFileSync(0, 'utf8'));
const answers = [];
for (const { file, place } of cases) {
  const text = readFileSync(path.join(root, 'tools/boundary-fixture', file), 'utf8');
  const [result] = await eslint.lintText(text, { filePath: path.join(root, place) });
  const messages = result?.messages ?? [{ ruleId: null, message: 'the file was not linted' }];
  answers.push(
    messages
      .filter(({ ruleId, fatal }) => fatal || ruleId === null || provenRules.includes(ruleId))
      .map(({ ruleId, message }) => ({ ruleId, message })),
  );
}
process.stdout.write(JSON.stringify(answers));
