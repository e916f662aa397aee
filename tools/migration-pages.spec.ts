import { readFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig, type ConfigDefinition, type ConfigKeys } from '@stowage/service-kit';
import { appNames, configOf } from './app-folders';

/** Patterns and configurations of the pages about hosts, tried as gc-worker has them. */

const root = path.resolve(__dirname, '..');
const page = (name: string): string => readFileSync(path.join(root, 'docs', name), 'utf8');

/** As much of an image as exempt patterns look at. */
interface Image {
  readonly imageId: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}
type Compile = (patterns: readonly string[]) => (image: Image, now: number) => string | undefined;

/** Cells of the table below a heading, without code marks and with plain bars. */
function tableBelow(text: string, heading: string): string[][] {
  const section = text.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll('`', '').replaceAll('\\|', '|')),
  );
}

describe('patterns of docuum', () => {
  const rows = tableBelow(page('migrate-from-docuum.md'), 'Patterns');
  let compile: Compile;
  const image = (name: string): Image => ({
    imageId: `sha256:${'0'.repeat(64)}`,
    repoTags: [name.includes('.') && name.split('/')[0]?.includes('.') ? name : fullName(name)],
    repoDigests: [],
  });
  const fullName = (name: string): string =>
    name.includes('/') ? `docker.io/${name}` : `docker.io/library/${name}`;

  beforeAll(async () => {
    const file = path.join(root, 'apps/gc-worker/src/policy/exempt.ts');
    ({ compileExempt: compile } = (await import(file)) as { compileExempt: Compile });
  });

  it('are a table', () => {
    expect(rows.length).toBeGreaterThan(5);
  });

  it.each(rows)('%s is %s, or %s: keeps %s, not %s', (docuum, ours, glob, kept, other) => {
    // What docuum itself does with `repository:tag`.
    expect([kept, other].map((name) => new RegExp(docuum).test(name))).toEqual([true, false]);
    for (const pattern of [ours, ...(glob === 'none' ? [] : [glob])]) {
      const exempt = compile([pattern]);
      const found = [kept, other].map((name) => exempt(image(name), 0) !== undefined);
      expect([pattern, ...found]).toEqual([pattern, true, false]);
    }
  });
});

it('the configuration that the package installs is taken, and removes nothing', async () => {
  const text = readFileSync(path.join(root, 'deploy/debian/config.yaml'), 'utf8');
  for (const app of appNames) {
    const outcome = await loadConfig((await configOf(app)) as ConfigDefinition<ConfigKeys>, {
      argv: [],
      env: {},
      version: '0.0.0',
      hostName: 'node-a',
      readFile: () => text,
    });
    expect(outcome).toMatchObject({ action: 'run', notes: [] });
    if (app === 'gc-worker') expect(outcome).toMatchObject({ config: { collect: 'shadow' } });
  }
});
