import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Credential } from './credential';
import { errorCode, fileSignature } from './file-signature';
import type { Keyring } from './keyring';
import { pullSecretKeyring, type PullSecret, type PullSecretOptions } from './pull-secrets';

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

/**
 * Pull secrets that are mounted as files, as a keyring. A folder is a secret when it holds files: the directory itself, its
 * sub-folders `<name>`, and theirs `<namespace>/<name>`; the data keys are the file names, as Kubernetes mounts them. Secrets are taken
 * in the order of their paths.
 *
 * Changes count from the next look-up on, also when Kubernetes swaps the files of a mounted secret. Secrets that cannot be used are
 * reported once per change.
 */
export class PullSecretDirectory implements Keyring {
  private loaded: { signature: string; keyring: () => Keyring } | undefined;

  constructor(
    private readonly directory: string,
    private readonly options: PullSecretOptions = {},
  ) {}

  /** Throws PullSecretError with `undecodable: 'fail'`. */
  async lookup(repository: string): Promise<readonly Credential[]> {
    return await this.current().lookup(repository);
  }

  private current(): Keyring {
    const { folders, problems } = findSecretFolders(this.directory);
    const files = folders.flatMap(({ folder, keys }) => keys.map((key) => path.join(folder, key)));
    const signature = JSON.stringify([problems, files.map((file) => [file, fileSignature(file)])]);
    if (this.loaded?.signature !== signature) {
      for (const { name, reason } of problems) this.report(name, reason);
      const secrets = folders.map((folder) => this.readSecret(folder));
      this.loaded = {
        signature,
        keyring: onceOrThrow(() => pullSecretKeyring(secrets, this.options)),
      };
    }
    return this.loaded.keyring();
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
      return { ...base, type, data: { [key]: readFileSync(path.join(folder, key)) } };
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

function findSecretFolders(directory: string): {
  folders: SecretFolder[];
  problems: { name: string; reason: string }[];
} {
  const folders: SecretFolder[] = [];
  const problems: { name: string; reason: string }[] = [];
  const visit = (folder: string, parents: readonly string[]): void => {
    let names: { name: string; isFolder: boolean }[];
    try {
      names = readdirSync(folder, { withFileTypes: true })
        // Kubernetes keeps the real files in "..data" and links to them.
        .filter(({ name }) => !name.startsWith('..'))
        .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    } catch (error) {
      problems.push({ name: folder, reason: `cannot be read: ${errorCode(error)}` });
      return;
    }
    const keys = names.filter(({ isFolder }) => !isFolder).map(({ name }) => name);
    if (keys.length > 0) {
      const [name = path.basename(folder), namespace = ''] = [...parents].reverse();
      folders.push({ folder, namespace, name, keys });
    }
    if (parents.length === maxDepth) return;
    for (const { name, isFolder } of names) {
      if (isFolder) visit(path.join(folder, name), [...parents, name]);
    }
  };
  visit(path.resolve(directory), []);
  return { folders, problems };
}
