import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { errorMessage, nearest } from '@stowage/errors';
import { CommandFailure, UsageError } from '../failures';

/** Where nodes are and how to log in, under a name. Paths are absolute or relative to the file. */
export interface ReachContext {
  readonly servers?: readonly string[];
  readonly creds?: string;
  readonly nkey?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly inboxPrefix?: string;
  /** Nodes that are asked unless `--node` or `--all` says otherwise. */
  readonly nodes?: readonly string[];
  /** Folder of local sockets, for a context without servers. */
  readonly sockets?: string;
}

/** The file of contexts. */
export interface ContextFile {
  readonly path: string;
  /** The context that counts unless `--context` names one. */
  readonly current?: string;
  readonly contexts: Readonly<Record<string, ReachContext>>;
}

type Env = Readonly<Record<string, string | undefined>>;

const texts = ['creds', 'nkey', 'tlsCa', 'tlsCert', 'tlsKey', 'inboxPrefix', 'sockets'] as const;
const lists = ['servers', 'nodes'] as const;
const paths: readonly string[] = ['creds', 'nkey', 'tlsCa', 'tlsCert', 'tlsKey', 'sockets'];
const keys: readonly string[] = [...texts, ...lists];

/** `STOWCTL_CONTEXTS`, else `stowage/contexts.yaml` in the user's folder of configurations. */
export function contextsPath(env: Env): string {
  const { STOWCTL_CONTEXTS: named = '', XDG_CONFIG_HOME: folder = '', HOME: home = '/' } = env;
  if (named !== '') return path.resolve(named);
  return path.join(folder === '' ? path.join(home, '.config') : folder, 'stowage/contexts.yaml');
}

/** Reads the contexts; none when there is no file. */
export async function readContexts(env: Env): Promise<ContextFile> {
  const file = contextsPath(env);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { path: file, contexts: {} };
    throw new CommandFailure(`${file} cannot be read: ${errorMessage(error)}`);
  }
  const { parse } = await import('yaml');
  let content: unknown;
  try {
    content = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    const [line = ''] = errorMessage(error).split('\n');
    throw new CommandFailure(`${file} is not YAML: ${line}`);
  }
  const found = checkedFile(file, content ?? {});
  const withLogin = Object.values(found.contexts).some(({ servers = [] }) =>
    servers.some((server) => server.includes('@')),
  );
  if (withLogin && (statSync(file).mode & 0o077) !== 0) {
    throw new CommandFailure(
      `${file} has logins in it and others may read it`,
      `chmod 600 ${file}, or keep the login in a credentials file (creds)`,
    );
  }
  return found;
}

function checkedFile(file: string, content: unknown): ContextFile {
  const refuse = (what: string): never => {
    throw new CommandFailure(`${file}: ${what}`, 'docs/stowctl.md shows a file of contexts');
  };
  const mapping = (value: unknown, what: string): Record<string, unknown> =>
    typeof value === 'object' && value != null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : refuse(`${what} is not a mapping`);
  const { current, contexts = {}, ...others } = mapping(content, 'the file');
  const [other] = Object.keys(others);
  if (other !== undefined) refuse(`unknown key ${JSON.stringify(other)}; known: current, contexts`);
  if (current !== undefined && typeof current !== 'string') refuse('current is not a text');
  const checked = Object.entries(mapping(contexts, 'contexts')).map(([name, value]) => {
    const entries = Object.entries(mapping(value, `context ${name}`)).map(([key, given]) => {
      if (!keys.includes(key)) {
        const near = nearest(key, keys)?.name ?? '';
        refuse(`context ${name}: unknown key ${JSON.stringify(key)}; the nearest is ${near}`);
      }
      const isList = (lists as readonly string[]).includes(key);
      const isRight = isList
        ? Array.isArray(given) && given.every((item) => typeof item === 'string')
        : typeof given === 'string';
      if (!isRight)
        refuse(`context ${name}: ${key} is not ${isList ? 'a list of texts' : 'a text'}`);
      const isPath = paths.includes(key);
      return [key, isPath ? path.resolve(path.dirname(file), given as string) : given];
    });
    return [name, Object.fromEntries(entries) as ReachContext] as const;
  });
  return {
    path: file,
    ...(typeof current === 'string' && { current }),
    contexts: Object.fromEntries(checked),
  };
}

/** The context that counts; undefined when none is named. */
export function chosenContext(
  { contexts, current, path: file }: ContextFile,
  name: string | undefined,
): ReachContext | undefined {
  const wanted = name ?? current;
  if (wanted === undefined) return undefined;
  const found = Object.hasOwn(contexts, wanted) ? contexts[wanted] : undefined;
  if (found !== undefined) return found;
  const near = nearest(wanted, Object.keys(contexts));
  throw new UsageError(
    `there is no context ${JSON.stringify(wanted)} in ${file}`,
    near === undefined ? 'docs/stowctl.md shows a file of contexts' : `the nearest is ${near.name}`,
  );
}

/** Makes a context the current one; the rest of the file stays as it is. */
export async function writeCurrentContext(file: ContextFile, name: string): Promise<void> {
  chosenContext(file, name);
  const { parseDocument } = await import('yaml');
  const document = parseDocument(readFileSync(file.path, 'utf8'));
  document.set('current', name);
  mkdirSync(path.dirname(file.path), { recursive: true });
  const next = `${file.path}.next`;
  writeFileSync(next, document.toString({ flowCollectionPadding: false }), {
    mode: statSync(file.path).mode & 0o777,
  });
  renameSync(next, file.path);
}
