import { statSync } from 'node:fs';
import type { ConfigDefinition, ConfigKeys, ConfigOf } from './define-config';
import {
  listConfigFolder,
  loadConfig,
  readConfigFile,
  type LoadInput,
  type LoadOutcome,
} from './load-config';

/** The configuration as the process was started with it, to be read again. */
export interface ConfigFiles<C> {
  /** Reads it again, by the rules of the start. */
  readonly load: () => Promise<LoadOutcome<C>>;
  /** Files and folders that were looked into so far, also those that are not there. */
  readonly files: ReadonlySet<string>;
}

/** To be read once before its files are known. */
export function configFiles<K extends ConfigKeys>(
  definition: ConfigDefinition<K>,
  input: Pick<LoadInput, 'argv' | 'env' | 'version'>,
): ConfigFiles<ConfigOf<K>> {
  const files = new Set<string>();
  const load = () =>
    loadConfig(definition, {
      ...input,
      readFile: (file) => {
        files.add(file);
        return readConfigFile(file);
      },
      listFolder: (folder) => {
        files.add(folder);
        return listConfigFolder(folder);
      },
    });
  return { load, files };
}

/** Notices that files have changed. */
export class FileChanges {
  /** Each file and folder as it was at the last look. */
  readonly #stamps = new Map<string, string>();

  constructor(private readonly files: Iterable<string>) {}

  /** Whether a file is another than at the last look; true at the first one. */
  look(): boolean {
    let isChanged = false;
    for (const file of this.files) {
      const stamp = stampOf(file);
      isChanged ||= stamp !== this.#stamps.get(file);
      this.#stamps.set(file, stamp);
    }
    return isChanged;
  }

  /** Takes note of files that were looked into for the first time. */
  learn(): void {
    for (const file of this.files) {
      if (!this.#stamps.has(file)) this.#stamps.set(file, stampOf(file));
    }
  }
}

/**
 * Differs when a file has changed, also where a link in its path was replaced (Kubernetes
 * ConfigMaps).
 */
function stampOf(file: string): string {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(file);
    return [file, dev, ino, size, mtimeMs, ctimeMs].join(' ');
  } catch {
    return `${file} absent`;
  }
}
