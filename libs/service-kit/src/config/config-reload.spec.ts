import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { configFiles } from './config-files';
import { ConfigReload } from './config-reload';
import { stringKey } from './config-key';
import { defineConfig, type ConfigOf } from './define-config';

const definition = defineConfig({
  app: 'tiny-app',
  summary: 'For tests.',
  keys: { word: stringKey({ default: 'none', meaning: 'A word.' }) },
});

let folder: string;
let file: string;
let stop: AbortController;
let reload: ConfigReload<ConfigOf<typeof definition.keys>>;
let reads: string[];

const write = (word: string) => writeFileSync(file, `tiny-app: { word: ${word} }\n`);
const listen = (name: string) =>
  reload.onRead((read, cause) => reads.push(`${name} ${cause} ${JSON.stringify(read)}`));

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'stowage-reload-'));
  file = path.join(folder, 'config.yaml');
  write('one');
  stop = new AbortController();
  const source = configFiles(definition, { argv: ['--config', file], env: {}, version: '0.0.0' });
  await source.load();
  reload = new ConfigReload(source, stop);
  reads = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('ConfigReload', () => {
  it('reads at the first look, and then when the file is another one', async () => {
    listen('a');
    await reload.look();
    await reload.look();
    expect(reads).toEqual([expect.stringMatching(/^a file .*"word":"one"/)]);
    write('another');
    await reload.look();
    expect(reads[1]).toMatch(/^a file .*"word":"another"/);
  });

  it('notifies all who listen, also of what is wrong', async () => {
    listen('a');
    listen('b');
    await reload.read('SIGHUP');
    writeFileSync(file, 'tiny-app: { wort: one }\n');
    await reload.look();
    expect(reads).toEqual([
      expect.stringMatching(/^a SIGHUP {"config":{.*"word":"one"/),
      expect.stringMatching(/^b SIGHUP {"config":{.*"word":"one"/),
      expect.stringMatching(/^a file {"problem":"tiny-app: configuration: .*wort/),
      expect.stringMatching(/^b file {"problem":"tiny-app: configuration: .*wort/),
    ]);
  });

  it('notifies nobody once the service stops', async () => {
    listen('a');
    stop.abort();
    await reload.look();
    await reload.read('SIGHUP');
    expect(reads).toEqual([]);
  });
});
