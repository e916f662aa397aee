import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Credential } from './credential';
import { errorCode, fileSignature, readConfigFile } from './file-signature';
import type { Keyring, LookupOptions } from './keyring';
import {
  pullSecretKeyring,
  secretName as nameOf,
  type PullSecret,
  type PullSecretOptions,
} from './pull-secrets';

/** How deep below the directory a secret may lie: `<namespace>/<name>`. */
const maxDepth = 2;

const typeOfKey: Readonly<Record<string, string>> = {
  '.dockerconfigjson': 'kubernetes.io/dockerconfigjson',
  '.dockercfg': 'kubernetes.io/dockercfg',
};

/** A folder with the files of one secret. */
interface SecretFolder {
  readonly folder: string;
  readonly namespace: string;
  readonly name: string;
  /** Data keys, sorted. */
  readonly keys: readonly string[];
}

/** What the directory held when it was read last. */
interface Loaded {
  readonly signature: string;
  readonly secrets: readonly PullSecret[];
  /** Keyring of all secrets; throws where an undecodable one is to fail. */
  readonly all: () => Keyring;
  /**
   * The same for look-ups of one namespace, made when they are asked for first; `''` has the
   * secrets without a namespace.
   */
  readonly byNamespace: Map<string, () => Keyring>;
}

/**
 * Pull secrets that are mounted as files, as a keyring. A folder is a secret when it holds files:
 * the directory itself, its sub-folders `<name>`, and theirs `<namespace>/<name>`; the data keys
 * are the file names, as Kubernetes mounts them. Secrets are taken in the order of their paths.
 *
 * Links to folders are followed, but not back to a folder they lie in. Changes count from the next
 * look-up on, also when Kubernetes swaps the files of a mounted secret or of a projected volume.
 * Secrets that cannot be used are reported once per change.
 */
export class PullSecretDirectory implements Keyring {
  private loaded: Loaded | undefined;

  constructor(
    private readonly directory: string,
    private readonly options: PullSecretOptions = {},
  ) {}

  /**
   * With a namespace only its own secrets count, and those of folders that name no namespace: these
   * belong to the node. Throws PullSecretError with `undecodable: 'fail'` when one that counts is
   * undecodable.
   */
  async lookup(repository: string, options: LookupOptions = {}): Promise<readonly Credential[]> {
    const loaded = this.current();
    const keyring =
      options.namespace === undefined ? loaded.all : this.keyringFor(options.namespace, loaded);
    return await keyring().lookup(repository);
  }

  /**
   * The credentials of one secret alone, by `namespace/name` or, where its folder names no
   * namespace, by name. Throws as `lookup`.
   */
  async lookupIn(secretName: string, repository: string): Promise<readonly Credential[]> {
    const named = this.current().secrets.filter((secret) => nameOf(secret) === secretName);
    const { undecodable } = this.options;
    return await pullSecretKeyring(named, { undecodable }).lookup(repository);
  }

  private keyringFor(wanted: string, { secrets, byNamespace }: Loaded): () => Keyring {
    // A namespace without secrets is as none: what callers send must not fill the map.
    const namespace = secrets.some((secret) => secret.namespace === wanted) ? wanted : '';
    const known = byNamespace.get(namespace);
    if (known !== undefined) return known;
    const usable = secrets.filter((secret) => ['', namespace].includes(secret.namespace));
    // Without a listener: their problems were reported when the directory was read.
    const { undecodable } = this.options;
    const keyring = onceOrThrow(() => pullSecretKeyring(usable, { undecodable }));
    byNamespace.set(namespace, keyring);
    return keyring;
  }

  private current(): Loaded {
    const { folders, problems } = findSecretFolders(this.directory);
    const files = folders.flatMap(({ folder, keys }) => keys.map((key) => path.join(folder, key)));
    const signature = JSON.stringify([problems, files.map((file) => [file, fileSignature(file)])]);
    if (this.loaded?.signature !== signature) {
      for (const { name, reason } of problems) this.report(name, reason);
      const secrets = folders.map((folder) => this.readSecret(folder));
      const all = onceOrThrow(() => pullSecretKeyring(secrets, this.options));
      this.loaded = { signature, secrets, all, byNamespace: new Map() };
    }
    return this.loaded;
  }

  /** The secret in a folder; its type follows from its data keys. */
  private readSecret({ folder, namespace, name, keys }: SecretFolder): PullSecret {
    const key = Object.keys(typeOfKey).find((known) => keys.includes(known));
    const base = { namespace, name, uid: '' };
    if (key == null) {
      const isAccountToken = keys.includes('token') && keys.includes('ca.crt');
      const type = isAccountToken ? 'kubernetes.io/service-account-token' : 'Opaque';
      return { ...base, type, data: {} };
    }
    const type = typeOfKey[key] ?? '';
    try {
      return { ...base, type, data: { [key]: readConfigFile(path.join(folder, key)) } };
    } catch (error) {
      this.report(path.join(folder, key), `cannot be read: ${errorCode(error)}`);
      return { ...base, type, data: {} };
    }
  }

  private report(name: string, reason: string): void {
    this.options.onProblem?.({ kind: 'secret', name, reason });
  }
}

/** Builds once; a failure is thrown at each call. */
function onceOrThrow<T>(build: () => T): () => T {
  try {
    const value = build();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

/** What is in a folder, by name. Links are followed. */
interface FolderContent {
  /** Identifies a folder, whatever path led to it. */
  readonly identity: string;
  readonly keys: readonly string[];
  readonly folders: readonly string[];
}

/**
 * In a projected volume Kubernetes links the folders of `path: namespace/name/key` to those in
 * "..data", so links count as what they lead to. One that leads nowhere is reported to
 * `unreadable`. Throws when the folder cannot be read.
 */
function readFolder(
  folder: string,
  unreadable: (file: string, error: unknown) => void,
): FolderContent {
  const { dev, ino } = statSync(folder, { bigint: true });
  const keys: string[] = [];
  const folders: string[] = [];
  for (const name of readdirSync(folder).sort()) {
    // Kubernetes keeps the real files in "..data" and links to them.
    if (name.startsWith('..')) continue;
    try {
      (statSync(path.join(folder, name)).isDirectory() ? folders : keys).push(name);
    } catch (error) {
      unreadable(path.join(folder, name), error);
    }
  }
  return { identity: `${dev}:${ino}`, keys, folders };
}

function findSecretFolders(directory: string): {
  folders: SecretFolder[];
  problems: { name: string; reason: string }[];
} {
  const folders: SecretFolder[] = [];
  const problems: { name: string; reason: string }[] = [];
  const unreadable = (name: string, error: unknown): void => {
    problems.push({ name, reason: `cannot be read: ${errorCode(error)}` });
  };
  const visit = (folder: string, parents: readonly string[], above: readonly string[]): void => {
    let content: FolderContent;
    try {
      content = readFolder(folder, unreadable);
    } catch (error) {
      unreadable(folder, error);
      return;
    }
    const { identity, keys } = content;
    if (above.includes(identity)) return; // a link back to where it came from
    if (keys.length > 0) {
      const [name = path.basename(folder), namespace = ''] = [...parents].reverse();
      folders.push({ folder, namespace, name, keys });
    }
    if (parents.length === maxDepth) return;
    for (const name of content.folders) {
      visit(path.join(folder, name), [...parents, name], [...above, identity]);
    }
  };
  visit(path.resolve(directory), [], []);
  return { folders, problems };
}
