import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { freePort } from './ports';
import { requirePrerequisites } from './prerequisites';
import { ServerProcess } from './server-process';

/** A series of an answer, with its samples from old to new. */
export interface PrometheusSeries {
  readonly labels: Readonly<Record<string, string>>;
  /** Time in seconds since the epoch, and value. */
  readonly samples: readonly (readonly [number, number])[];
}

/**
 * A Prometheus with a temporary folder and a port of its own, for what scrapes and judges services.
 * It ends with `remove()`, or with this process.
 */
export class TestPrometheus extends ServerProcess {
  private constructor(
    readonly url: string,
    private readonly dir: string,
  ) {
    const { host } = new URL(url);
    super({
      name: 'prometheus',
      command: 'setpriv', // ends it with this process, however that ends
      args: [
        ...['--pdeathsig', 'KILL', 'prometheus'],
        `--config.file=${path.join(dir, 'prometheus.yml')}`,
        `--storage.tsdb.path=${path.join(dir, 'data')}`,
        `--web.listen-address=${host}`,
      ],
      env: {},
      logFile: path.join(dir, 'prometheus.log'),
      isReady: async () => (await fetch(`${url}/-/ready`)).status === 200,
    });
  }

  /**
   * A running one. `configuration` is that of Prometheus, `rules` the content of its only file of
   * rules.
   */
  static async start(
    configuration: object,
    { rules }: { rules?: object } = {},
  ): Promise<TestPrometheus> {
    requirePrerequisites(['prometheus'], { root: false });
    const dir = mkdtempSync(path.join(tmpdir(), 'stowage-prometheus-'));
    const prometheus = new TestPrometheus(`http://127.0.0.1:${await freePort()}`, dir);
    const rulesFile = path.join(dir, 'rules.yaml');
    if (rules !== undefined) writeFileSync(rulesFile, stringify(rules));
    const files = rules === undefined ? [] : [rulesFile];
    const config = stringify({ ...configuration, rule_files: files });
    writeFileSync(path.join(dir, 'prometheus.yml'), config);
    try {
      await prometheus.start();
      return prometheus;
    } catch (error) {
      await prometheus.remove();
      throw error;
    }
  }

  /**
   * The series of a query between two times (seconds since the epoch), a sample a second. Throws
   * with Prometheus's words when it refuses the query.
   */
  async queryRange(query: string, from: number, to: number): Promise<PrometheusSeries[]> {
    const { result } = (await this.#api('query_range', {
      ...{ query, start: String(from), end: String(to), step: '1' },
    })) as { result: { metric: Record<string, string>; values: [number, string][] }[] };
    return result.map(({ metric, values }) => ({
      labels: metric,
      samples: values.map(([at, value]) => [at, Number(value)] as const),
    }));
  }

  /** Values of a label among the series that a selector finds. */
  async labelValues(label: string, selector: string): Promise<string[]> {
    return (await this.#api(`label/${label}/values`, { 'match[]': selector })) as string[];
  }

  /** Rules whose last evaluation failed, each with the reason. */
  async failedRules(): Promise<string[]> {
    const { groups } = (await this.#api('rules', {})) as {
      groups: { rules: { name: string; health: string; lastError?: string }[] }[];
    };
    return groups
      .flatMap(({ rules }) => rules)
      .filter(({ health }) => health === 'err')
      .map(({ name, lastError = '' }) => `${name}: ${lastError}`);
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #api(method: string, parameters: Readonly<Record<string, string>>): Promise<unknown> {
    const query = new URLSearchParams(parameters).toString();
    const response = await fetch(`${this.url}/api/v1/${method}?${query}`);
    const answer = (await response.json()) as { status: string; data?: unknown; error?: string };
    if (answer.status !== 'success') throw new Error(`${method}: ${answer.error ?? 'no reason'}`);
    return answer.data;
  }
}
