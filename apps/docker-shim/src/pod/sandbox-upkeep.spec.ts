import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@stowage/testing';
import type { EngineAvailability } from '../engine/engine-connection';
import type { InspectedSandbox, ListedSandbox } from './pods';
import { engineDns } from './resolv-conf';
import { SandboxUpkeep } from './sandbox-upkeep';

describe('SandboxUpkeep', () => {
  let folder: string;
  let listener: (availability: EngineAvailability) => void;
  let collected: (readonly string[])[];
  let forgotten: string[];
  let warnings: object[];
  let collect: () => Promise<void>;
  let sandboxes: Record<string, { running: boolean; file: string }>;
  const availability = (available: boolean): EngineAvailability => ({
    available,
    since: new Date(),
    connections: 1,
  });
  const start = () =>
    new SandboxUpkeep({
      connection: {
        availability: () => availability(false),
        onAvailability: (given) => {
          listener = given;
          return () => (listener = () => undefined);
        },
      },
      pods: {
        list: () =>
          Promise.resolve(
            Object.entries(sandboxes).map(
              ([id, { running }]) => ({ id, running }) as ListedSandbox,
            ),
          ),
        find: (id) => {
          const { running = false, file = '' } = sandboxes[id] ?? {};
          const HostConfig = { ...engineDns({ servers: ['10.0.0.1'], searches: [], options: [] }) };
          const container = { ResolvConfPath: file, HostConfig };
          return Promise.resolve({ id, running, container } as unknown as InspectedSandbox);
        },
      },
      checkpoints: { ids: () => Promise.resolve(['a', 'gone']) },
      records: {
        ids: () => ['d', 'gone', 'removed'],
        remove: (id) => Promise.resolve(void forgotten.push(id)),
      },
      network: {
        collectGarbage: (live) => {
          collected.push(live);
          return collect();
        },
      },
      log: { warn: (fields: object | string) => void warnings.push(Object(fields) as object) },
    });
  const file = (name: string) => {
    const made = path.join(folder, name);
    writeFileSync(made, 'nameserver 127.0.0.11\n');
    return made;
  };
  const written = (name: string) => readFileSync(path.join(folder, name), 'utf8');
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'sandbox-upkeep-'));
    collected = [];
    forgotten = [];
    warnings = [];
    collect = () => Promise.resolve();
    sandboxes = {
      a: { running: true, file: file('a') },
      b: { running: false, file: file('b') },
      c: { running: true, file: path.join(folder, 'absent') },
      d: { running: true, file: file('d') },
    };
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('mends the files of running sandboxes each time the engine is back, one after the other', async () => {
    const upkeep = start();
    listener(availability(true));
    await eventually(() => collected.length === 1);
    expect(['a', 'b', 'd'].map(written)).toEqual([
      'nameserver 10.0.0.1\n',
      'nameserver 127.0.0.11\n',
      'nameserver 10.0.0.1\n',
    ]);
    expect(warnings).toEqual([
      { podSandboxId: 'c', reason: expect.stringContaining('ENOENT') as string },
    ]);
    file('a');
    listener(availability(false));
    listener(availability(true));
    await eventually(() => written('a') === 'nameserver 10.0.0.1\n');
    file('b');
    await upkeep.restarted('b');
    expect(written('b')).toBe('nameserver 127.0.0.11\n');
    file('d');
    await upkeep.restarted('d');
    expect(written('d')).toBe('nameserver 10.0.0.1\n');
    await upkeep.close();
  });

  it('has what is left of other networks removed, once, sparing all that may still be stopped', async () => {
    const upkeep = start();
    collect = () => Promise.reject(new Error('a plugin fails'));
    listener(availability(true));
    await eventually(() => collected.length === 1);
    await eventually(() => warnings.length === 2);
    collect = () => Promise.resolve();
    for (let time = 0; time < 3; time += 1) listener(availability(true));
    await eventually(() => collected.length === 2);
    await upkeep.close();
    expect(collected[1]).toEqual(['a', 'gone', 'b', 'c', 'd']);
    expect(collected).toHaveLength(2);
    expect(new Set(forgotten)).toEqual(new Set(['removed']));
    expect(warnings[1]).toEqual({ reason: 'a plugin fails' });
  });
});
