import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { DescribedConfig } from '@stowage/service-kit';

const folder = path.resolve(__dirname, '..', 'apps');

/** The services of the suite, by their folders: the apps that have a configuration. */
export const appNames: readonly string[] = readdirSync(folder)
  .filter((app) => existsSync(path.join(folder, app, 'src', 'config.ts')))
  .sort();

/**
 * Those that users get, in images, packages and releases: all but the ones that have the tag
 * `unreleased` in their project.json.
 */
export const releasedApps: readonly string[] = appNames.filter((app) => {
  const project = readFileSync(path.join(folder, app, 'project.json'), 'utf8');
  return !(JSON.parse(project) as { tags: readonly string[] }).tags.includes('unreleased');
});

/** All programs that users get: the services, and stowctl. */
export const releasedPrograms: readonly string[] = [...releasedApps, 'stowctl'];

/** What an app says of its configuration: `config` of its `config.ts`. */
export async function configOf(app: string): Promise<DescribedConfig> {
  const file = path.join(folder, app, 'src', 'config.ts');
  return ((await import(file)) as { config: DescribedConfig }).config;
}
