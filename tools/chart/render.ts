import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';
import { chartFolder, root, type KubernetesObject } from './chart';
import type { KubernetesPrograms } from './kubernetes-programs';

/** Values of the chart, as a values file has them. */
export type Values = Readonly<Record<string, unknown>>;

/** Helm or kustomize refused; the message is theirs. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

interface RenderOptions {
  /** Default `stowage`, as the release. */
  readonly namespace?: string;
  /** Default `stowage`. */
  readonly release?: string;
  /** Where a cluster answers; default: none is asked. */
  readonly kubeconfig?: string;
}

/** Helm with the chart of this repository. */
export class Chart {
  constructor(private readonly programs: KubernetesPrograms) {}

  /**
   * The objects that `helm template` makes.
   *
   * @throws RefusedError when Helm refuses the values.
   */
  async render(values: Values = {}, options: RenderOptions = {}): Promise<KubernetesObject[]> {
    return objectsOf(await this.#withValues(values, (file) => this.#template(file, options)));
  }

  /** @throws RefusedError with what Helm finds wrong, warnings included. */
  async lint(values: Values = {}): Promise<void> {
    await this.#withValues(values, (file) =>
      this.#helm(['lint', '--strict', chartFolder, '--values', file]),
    );
  }

  /** What `helm install` prints after an installation. */
  async notes(values: Values = {}): Promise<string> {
    const args = ['install', 'stowage', chartFolder, '--namespace', 'stowage', '--dry-run=client'];
    const printed = await this.#withValues(values, (file) =>
      this.#helm([...args, '--values', file]),
    );
    return printed.split(/^NOTES:\n/m)[1] ?? '';
  }

  #template(
    file: string,
    { namespace = 'stowage', release = 'stowage', kubeconfig }: RenderOptions,
  ) {
    const args = ['template', release, chartFolder, '--namespace', namespace, '--values', file];
    if (kubeconfig === undefined) return this.#helm(args);
    const server = ['--dry-run=server', '--disable-openapi-validation'];
    return this.#helm([...args, ...server], { KUBECONFIG: kubeconfig });
  }

  async #withValues<T>(values: Values, action: (file: string) => Promise<T>): Promise<T> {
    const folder = mkdtempSync(path.join(tmpdir(), 'stowage-chart-'));
    try {
      const file = path.join(folder, 'values.yaml');
      // Helm reads YAML 1.1, in which more words are booleans.
      writeFileSync(file, stringify(values, { version: '1.1' }));
      return await action(file);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #helm(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    return runProgram(this.programs.helm, args, { KUBECONFIG: '/dev/null', ...env });
  }
}

/** What `kubectl kustomize` makes of a folder. */
export async function kustomize(
  { kubectl }: KubernetesPrograms,
  folder: string,
): Promise<KubernetesObject[]> {
  return objectsOf(await runProgram(kubectl, ['kustomize', folder], {}));
}

async function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  try {
    const options = { cwd: root, env: { ...process.env, ...env }, maxBuffer: 64 * 2 ** 20 };
    return (await promisify(execFile)(program, args, options)).stdout;
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string };
    const said = stderr.trim() || stdout.trim();
    if (said === '') throw error;
    throw new RefusedError(said, { cause: error });
  }
}

/** Objects of a text with any number of YAML documents; empty documents are none. */
export function objectsOf(text: string): KubernetesObject[] {
  return parseAllDocuments(text)
    .map((document) => {
      if (document.errors[0] !== undefined) throw document.errors[0];
      return document.toJSON() as KubernetesObject | null;
    })
    .filter((object) => object != null);
}
