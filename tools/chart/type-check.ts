import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { objectName, root, type KubernetesObject } from './chart';

/** An object, and the name of what it was rendered from. */
export interface NamedObject {
  readonly from: string;
  readonly object: KubernetesObject;
}

const customResources = path.join(root, 'tools/chart/custom-resources');
const customKinds = new Set(['PodMonitor', 'PrometheusRule', 'GrafanaDashboard']);

/**
 * Checks objects by the compiler, each as a literal of its type in kubernetes-models: a field that
 * the API does not have, one that is missing and one of another type are all errors. Equal objects
 * are checked once.
 *
 * @returns an error a line: where from, which object, what is wrong. Empty when all is well.
 */
export async function typeErrors(objects: readonly NamedObject[]): Promise<string[]> {
  // Below the root, where the packages are found.
  mkdirSync(path.join(root, 'dist'), { recursive: true });
  const folder = mkdtempSync(path.join(root, 'dist', 'type-check-'));
  try {
    const distinct = new Map<string, NamedObject>();
    const errors: string[] = [];
    for (const named of objects) distinct.set(JSON.stringify(named.object), named);
    const nameOf = new Map<string, string>();
    for (const [text, { from, object }] of distinct) {
      const module = moduleOf(object);
      const name = `${from}, ${objectName(object)}`;
      if (module === undefined) {
        errors.push(`${name}: nobody knows ${object.apiVersion} ${object.kind}`);
        continue;
      }
      const file = `object-${nameOf.size}.ts`;
      nameOf.set(file, name);
      const literal = JSON.stringify(JSON.parse(text), undefined, 2);
      const type = `I${object.kind}`;
      writeFileSync(
        path.join(folder, file),
        `import type { ${type} } from '${module}';\nexport const object: ${type} = ${literal};\n`,
      );
    }
    return [...errors, ...(await compile(folder, nameOf))];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where the type of an object is; undefined for an unknown kind. */
function moduleOf({ apiVersion, kind }: KubernetesObject): string | undefined {
  if (!/^[\w./-]+$/.test(`${apiVersion}${kind}`)) return undefined;
  if (customKinds.has(kind)) return customResources;
  const module = `kubernetes-models/${apiVersion}/${kind}`;
  return existsSync(path.join(root, 'node_modules', `${module}.d.ts`)) ? module : undefined;
}

async function compile(folder: string, nameOf: ReadonlyMap<string, string>): Promise<string[]> {
  const config = path.join(folder, 'tsconfig.json');
  writeFileSync(
    config,
    JSON.stringify({
      extends: path.join(root, 'tsconfig.base.json'),
      compilerOptions: { types: [], paths: {} },
      files: [...nameOf.keys()],
    }),
  );
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc');
  try {
    await promisify(execFile)(process.execPath, [compiler, '-p', config, '--pretty', 'false'], {
      cwd: folder,
      maxBuffer: 16 * 2 ** 20,
    });
    return [];
  } catch (error) {
    const { stdout = '' } = error as { stdout?: string };
    const errors = stdout
      .split('\n')
      .map((line) => /^(object-\d+\.ts)\(\d+,\d+\): error (.*)$/.exec(line))
      .filter((match) => match != null)
      .map(([, file = '', message = '']) => `${nameOf.get(file) ?? file}: ${message}`);
    if (errors.length === 0) throw error;
    return errors;
  }
}
