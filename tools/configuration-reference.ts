// Writes docs/reference/configuration.md from the schemas of all apps:
// `node tools/run-ts.mjs tools/configuration-reference.ts [OUT]`.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { appNames, renderConfigurationReference } from '@stowage/service-kit';
import type { DescribedConfig } from '@stowage/service-kit';

const root = path.resolve(__dirname, '..');
const out = path.resolve(process.argv[2] ?? root);

async function definitions(): Promise<DescribedConfig[]> {
  const files = appNames
    .map((app) => path.join(root, 'apps', app, 'src', 'config.ts'))
    .filter((file) => existsSync(file));
  const modules = await Promise.all(
    files.map((file) => import(pathToFileURL(file).href) as Promise<{ config: DescribedConfig }>),
  );
  return modules.map(({ config }) => config);
}

void definitions().then((list) => {
  const file = path.join(out, 'docs', 'reference', 'configuration.md');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, renderConfigurationReference(list));
});
