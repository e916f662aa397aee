import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { Fields } from './fields';

/** Where the volumes of a pod come from. */
export interface VolumeSources {
  /** Folder for what kubelet writes. */
  readonly dir: string;
  readonly configMaps: readonly IConfigMap[];
  /** Secrets by name: text by key. */
  readonly secrets: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/**
 * Prepares the volumes of a pod as kubelet does: files of ConfigMaps and Secrets, folders of the
 * node that are there or are made.
 *
 * @returns the paths on the node by the names of the volumes.
 * @throws Error for a kind of volume that is not prepared here, and for a folder that is not there.
 */
export function prepareVolumes(
  volumes: readonly IVolume[],
  sources: VolumeSources,
): ReadonlyMap<string, string> {
  return new Map(volumes.map((volume) => [volume.name, prepare(volume, sources)]));
}

function prepare(given: IVolume, { dir, configMaps, secrets }: VolumeSources): string {
  const volume = new Fields<IVolume>(`volume ${given.name}`, given);
  const folder = path.join(dir, volume.get('name'));
  const hostPath = volume.get('hostPath');
  const configMap = volume.get('configMap');
  const secret = volume.get('secret');
  volume.done();
  if (hostPath !== undefined) return hostFolder(hostPath);
  if (configMap !== undefined) {
    const fields = new Fields('configMap', configMap);
    const name = fields.get('name');
    fields.done();
    const data = configMaps.find(({ metadata }) => metadata?.name === name)?.data;
    return writeFiles(folder, data, 0o644, `ConfigMap ${name ?? ''}`);
  }
  if (secret !== undefined) {
    const fields = new Fields('secret', secret);
    const name = fields.get('secretName') ?? '';
    const mode = fields.get('defaultMode') ?? 0o644;
    fields.done();
    return writeFiles(folder, secrets[name], mode, `Secret ${name}`);
  }
  throw new Error(`volume ${given.name} is of no kind that is prepared`);
}

function hostFolder(given: NonNullable<IVolume['hostPath']>): string {
  const hostPath = new Fields('hostPath', given);
  const folder = hostPath.get('path');
  const type = hostPath.get('type');
  hostPath.done();
  if (type === 'DirectoryOrCreate') mkdirSync(folder, { recursive: true, mode: 0o755 });
  else if (type !== 'Directory')
    throw new Error(`hostPath of type ${type ?? 'none'} is not prepared`);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new Error(`hostPath type check failed: ${folder} is not a directory`);
  }
  return folder;
}

function writeFiles(
  folder: string,
  data: Readonly<Record<string, string>> | undefined,
  mode: number,
  what: string,
): string {
  if (data === undefined) throw new Error(`${what} not found`);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(data)) {
    writeFileSync(path.join(folder, name), text, { mode });
  }
  return folder;
}
