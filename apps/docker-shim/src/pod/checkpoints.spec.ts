import { Protocol } from '@stowage/cri-proto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checksum, checkpointText, parseCheckpoint, spewText, type Checkpoint } from './checkpoint';
import { Checkpoints } from './checkpoints';

const id = 'ab'.repeat(32);
const other = 'cd'.repeat(32);
const { TCP, UDP, SCTP } = Protocol;
const port = (protocol: Protocol, containerPort: number, hostPort: number, hostIp = '') => ({
  protocol,
  containerPort,
  hostPort,
  hostIp,
});
const pod = { name: 'web-0', namespace: 'shop' };
const plain: Checkpoint = { ...pod, hostNetwork: false, portMappings: [] };

/** Printed and hashed by a Go program with go-spew 1.1.1, with cri-dockerd's settings. */
describe('the checksum that cri-dockerd demands', () => {
  it.each([
    [
      '(core.CheckpointData){PortMappings:([]*config.PortMapping)<nil> HostNetwork:(bool)false}',
      2305795928,
      plain,
    ],
    [
      '(core.CheckpointData){PortMappings:([]*config.PortMapping)<nil> HostNetwork:(bool)true}',
      12315789,
      { ...plain, hostNetwork: true },
    ],
    [
      '(core.CheckpointData){PortMappings:([]*config.PortMapping)[<*>{Protocol:(*config.Protocol)tcp ContainerPort:(*int32)80 HostPort:(*int32)8080 HostIP:(string)}] HostNetwork:(bool)false}',
      3712672205,
      { ...plain, portMappings: [port(TCP, 80, 8080)] },
    ],
    [
      '(core.CheckpointData){PortMappings:([]*config.PortMapping)[<*>{Protocol:(*config.Protocol)tcp ContainerPort:(*int32)80 HostPort:(*int32)8080 HostIP:(string)127.0.0.1} <*>{Protocol:(*config.Protocol)udp ContainerPort:(*int32)53 HostPort:(*int32)0 HostIP:(string)} <*>{Protocol:(*config.Protocol)sctp ContainerPort:(*int32)9 HostPort:(*int32)9 HostIP:(string)::1}] HostNetwork:(bool)true}',
      1303102233,
      {
        ...plain,
        hostNetwork: true,
        portMappings: [port(TCP, 80, 8080, '127.0.0.1'), port(UDP, 53, 0), port(SCTP, 9, 9, '::1')],
      },
    ],
  ])('of %s', (text, sum, data) => {
    expect(spewText(data)).toBe(text);
    expect(checksum(data)).toBe(sum);
  });
});

describe('the text of a checkpoint', () => {
  it('leaves out what is empty', () => {
    expect(checkpointText(plain)).toBe(
      '{"version":"v1","name":"web-0","namespace":"shop","data":{},"checksum":2305795928}',
    );
    const full = {
      ...plain,
      hostNetwork: true,
      portMappings: [port(UDP, 53, 0), port(TCP, 1, 2, '::1')],
    };
    expect(JSON.parse(checkpointText(full))).toMatchObject({
      data: {
        port_mappings: [
          { protocol: 'udp', container_port: 53, host_port: 0 },
          { protocol: 'tcp', container_port: 1, host_port: 2, host_ip: '::1' },
        ],
        host_network: true,
      },
    });
    expect(parseCheckpoint(checkpointText(full))).toEqual(full);
  });

  it.each([
    ['a wrong checksum', { checksum: 1 }, plain],
    ['no data', { data: null }, plain],
    ['what a later version may add', { more: {}, data: { more: 1 } }, plain],
    [
      'ports that are not whole',
      { data: { port_mappings: [null, { protocol: 'sctp' }, {}] } },
      { ...plain, portMappings: [port(SCTP, 0, 0), port(TCP, 0, 0)] },
    ],
  ])('is read with %s', (_what, changes, expected) => {
    const text = JSON.stringify({ version: 'v1', ...pod, data: {}, checksum: 0, ...changes });
    expect(parseCheckpoint(text)).toEqual(expected);
  });

  it.each(['', '{', '[]', '{"namespace":"x"}', '{"name":""}', 'null'])('is not %j', (text) => {
    expect(() => parseCheckpoint(text)).toThrow();
  });
});

describe('Checkpoints', () => {
  let folder: string;
  let corrupt: string[];
  let checkpoints: Checkpoints;
  let dir: string;
  let imported: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'checkpoints-'));
    dir = path.join(folder, 'state', 'sandbox');
    imported = path.join(folder, 'peer');
    corrupt = [];
    checkpoints = new Checkpoints({
      dir,
      importFrom: [imported, path.join(folder, 'none')],
      onCorrupt: (file) => corrupt.push(path.relative(folder, file)),
    });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('gives back what was written, also to another process, until it is removed', async () => {
    expect(await checkpoints.ids()).toEqual([]);
    await checkpoints.write(id, plain);
    await checkpoints.write(id, { ...plain, hostNetwork: true });
    expect(readdirSync(dir)).toEqual([id]);
    const again = new Checkpoints({ dir, importFrom: [], onCorrupt: () => undefined });
    expect(await again.ids()).toEqual([id]);
    expect(await again.read(id)).toEqual({
      ...plain,
      hostNetwork: true,
      writtenAt: expect.anything() as Date,
    });
    await again.remove(id);
    await again.remove(id);
    expect([await checkpoints.ids(), await checkpoints.read(id)]).toEqual([[], undefined]);
  });

  it('counts those of another program as its own, and removes both', async () => {
    mkdirSync(imported);
    writeFileSync(path.join(imported, id), checkpointText(plain));
    writeFileSync(path.join(imported, other), checkpointText(plain));
    writeFileSync(path.join(imported, '.tmp123'), '');
    utimesSync(path.join(imported, other), 1000, 1000);
    await checkpoints.write(id, { ...plain, name: 'own' });
    expect((await checkpoints.ids()).sort()).toEqual([id, other]);
    expect(await checkpoints.read(id)).toMatchObject({ name: 'own' });
    expect((await checkpoints.read(other))?.writtenAt).toEqual(new Date(1_000_000));
    await checkpoints.remove(id);
    expect(existsSync(path.join(imported, id))).toBe(false);
  });

  it('renames a file that cannot be read, reports it once, and goes on to the next folder', async () => {
    mkdirSync(dir, { recursive: true });
    mkdirSync(imported);
    writeFileSync(path.join(dir, id), '{');
    writeFileSync(path.join(imported, id), checkpointText(plain));
    expect(await checkpoints.read(id)).toMatchObject(pod);
    expect(await checkpoints.read(id)).toMatchObject(pod);
    expect(corrupt).toEqual([`state/sandbox/${id}`]);
    expect(readFileSync(path.join(dir, `${id}.corrupt`), 'utf8')).toBe('{');
    mkdirSync(path.join(dir, other));
    expect(await checkpoints.read(other)).toBeUndefined();
    expect(await checkpoints.ids()).toEqual([id]);
    expect(corrupt).toEqual([`state/sandbox/${id}`, `state/sandbox/${other}`]);
  });

  it('leaves a file alone that there is no descriptor to read with', async () => {
    await checkpoints.write(id, plain);
    const shortage = Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    const reading = jest.spyOn(fs, 'readFile').mockRejectedValueOnce(shortage);
    await expect(checkpoints.read(id)).rejects.toBe(shortage);
    reading.mockRestore();
    expect(await checkpoints.read(id)).toMatchObject(plain);
    expect(corrupt).toEqual([]);
  });

  it('keeps what was there when a write fails', async () => {
    await checkpoints.write(id, plain);
    mkdirSync(path.join(dir, `.${id}`));
    await expect(checkpoints.write(id, { ...plain, name: 'new' })).rejects.toThrow();
    expect(await checkpoints.read(id)).toMatchObject(pod);
  });
});
