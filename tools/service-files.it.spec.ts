import { readFileSync } from 'node:fs';
import path from 'node:path';
import { appNames } from './app-folders';

interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { bytesInOutput: number }>> }>
  >;
}

const root = path.resolve(__dirname, '..');

describe.each(appNames)('files of %s', (app) => {
  it('what main.js and service.js both need is in one file alone', () => {
    const file = path.join(root, 'dist', `${app}.meta.json`);
    const { outputs } = JSON.parse(readFileSync(file, 'utf8')) as Metafile;
    // Neither is part of what runs without it: the SDK of traces, and what threads run.
    const apart = /\/(tracing|[^/]+\.thread)\.js$/;
    const modules = Object.entries(outputs)
      .filter(([name]) => name.endsWith('.js') && !apart.test(name))
      .flatMap(([, { inputs }]) => Object.entries(inputs))
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([name]) => name);
    expect(modules.length).toBeGreaterThan(500);
    expect(modules.filter((name, place) => modules.indexOf(name) !== place)).toEqual([]);
  });
});
