import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { configFiles, ConfigReload } from '@stowage/service-kit';
import { config, policyOf, type GcConfig } from '../config';
import { LivePolicy } from './live-policy';
import { readPolicy } from '../read-policy';

let folder: string;
let lines: { message: string; fields: object }[];
let results: string[];
let problem: string | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'gc-policy-'));
  lines = [];
  results = [];
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const line = (fields: object, message: string) => lines.push({ fields, message });

async function open(text: string, argv: readonly string[] = []) {
  const file = path.join(folder, 'config.yaml');
  writeFileSync(file, text);
  const input = {
    argv: ['--config', file, ...argv],
    env: {},
    version: '0.0.0',
    hostName: 'node-a',
  };
  const source = configFiles(config, input);
  const outcome = await source.load();
  if (outcome.action === 'exit') throw new Error(outcome.output);
  const running: GcConfig = outcome.config;
  const live = new LivePolicy({
    first: policyOf(running),
    log: { info: line, warn: line },
    metrics: { policyReloaded: (result) => results.push(result) },
    health: (text) => {
      problem = text;
    },
    now: () => 7,
  });
  const reload = new ConfigReload(source, new AbortController());
  reload.onRead((read, cause) => live.take(readPolicy(read, running), cause));
  await reload.look();
  return { live, reload, file };
}

describe('LivePolicy', () => {
  it('takes what kubelet’s drop-ins say, also of one that was not there at the start', async () => {
    const dropIns = path.join(folder, 'kubelet.conf.d');
    mkdirSync(dropIns);
    const dropIn = (name: string, percent: number) => {
      const text = `imageGCHighThresholdPercent: ${percent}\n`;
      const head = 'kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n';
      writeFileSync(path.join(dropIns, name), head + text);
    };
    dropIn('10-a.conf', 90);
    const { live, reload } = await open('gc-worker: {}\n', ['--kubelet-config-dir', dropIns]);
    expect(live.current.highThresholdPercent).toBe(90);
    dropIn('20-b.conf', 91);
    await reload.look();
    expect(live.current.highThresholdPercent).toBe(91);
    dropIn('20-b.conf', 100);
    await reload.look();
    expect(live.current.highThresholdPercent).toBe(100);
  });

  it('takes a new policy when the file changes, and tells those who listen', async () => {
    const { live, reload, file } = await open('gc-worker: { imageGCHighThresholdPercent: 90 }\n');
    expect([live.current.highThresholdPercent, results]).toEqual([90, []]);
    let changes = 0;
    live.onChange(() => (changes += 1));
    await reload.look();
    expect(changes).toBe(0);
    writeFileSync(
      file,
      'gc-worker: { imageGCHighThresholdPercent: 88, exemptImages: ["nginx:*"], diskCheckInterval: 3s }\n',
    );
    await reload.look();
    expect(live.current.highThresholdPercent).toBe(88);
    const nginx = { imageId: 'x', repoTags: ['docker.io/library/nginx:1'], repoDigests: [] };
    expect(live.exempt(nginx, 0)).toBe('nginx:*');
    expect([changes, results]).toEqual([1, ['taken']]);
    expect(lines).toEqual([
      {
        message: 'changed settings that need a restart',
        fields: { cause: 'file', keys: ['diskCheckIntervalMs'] },
      },
      {
        message: 'new policy taken',
        fields: { cause: 'file', changed: ['highThresholdPercent', 'exemptImages'] },
      },
    ]);
  });

  it('refuses a bad one with the reason, keeps the old one, and recovers', async () => {
    const { live, reload, file } = await open('gc-worker: { imageGCHighThresholdPercent: 90 }\n');
    writeFileSync(file, 'gc-worker: { imageGCHighThresholdPercent: 70 }\n');
    await reload.look();
    const reason =
      'gc-worker: configuration: imageGCLowThresholdPercent (STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT, from default) is 80; allowed: less than imageGCHighThresholdPercent (70)';
    expect(live.current.highThresholdPercent).toBe(90);
    expect(live.lastRefusal()).toEqual({ at: 7, reason });
    expect(problem).toBe(`the new policy is refused, the old one stays: ${reason}`);
    expect(lines).toEqual([
      { message: 'new policy refused: the old one stays', fields: { cause: 'file', reason } },
    ]);
    unlinkSync(file);
    await reload.look();
    expect(live.current.highThresholdPercent).toBe(90);
    expect(live.lastRefusal()?.reason).toBe(
      `gc-worker: configuration: ${file} cannot be read: no such file`,
    );
    writeFileSync(file, 'gc-worker: { imageGCHighThresholdPercent: 95 }\n');
    await reload.look();
    expect([live.current.highThresholdPercent, live.lastRefusal(), problem]).toEqual([
      95,
      undefined,
      undefined,
    ]);
    expect(results).toEqual(['refused', 'refused', 'taken']);
  });

  it('sees a link that was turned to another file, as ConfigMaps are changed', async () => {
    const { live, reload, file } = await open('gc-worker: {}\n');
    const other = path.join(folder, 'other.yaml');
    writeFileSync(other, 'gc-worker: { maxImagesPerRun: 3 }\n');
    unlinkSync(file);
    symlinkSync(other, file);
    await reload.look();
    expect(live.current.maxImagesPerRun).toBe(3);
  });

  it('reads again at SIGHUP, and says so when nothing changed', async () => {
    const { reload } = await open('gc-worker: {}\n');
    await reload.read('SIGHUP');
    expect(lines).toEqual([{ message: 'policy unchanged', fields: { cause: 'SIGHUP' } }]);
  });
});
