// Writes docs/reference/configuration.md from the schemas of all apps: `node tools/run-ts.mjs tools/configuration-reference.ts [OUT]`.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { appNames, configOf } from './app-folders';
import { renderConfigurationReference } from './configuration-page';

const out = path.resolve(process.argv[2] ?? path.resolve(__dirname, '..'));

void Promise.all(appNames.map(configOf)).then((definitions) => {
  const file = path.join(out, 'docs', 'reference', 'configuration.md');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, renderConfigurationReference(definitions));
});
