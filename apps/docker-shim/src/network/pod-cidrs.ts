import { errorMessage, InvalidArgumentError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { addressOf } from './cidr';

const fileName = 'pod-cidrs.json';

const isCidr = (text: string): boolean => addressOf(text) !== undefined;

/**
 * Ranges of the node's pods: those of the configuration, else those that kubelet said last. It says
 * them only when they change, so they are kept on disk for the next start.
 */
export class PodCidrs {
  #cidrs: readonly string[];
  readonly #file: string;

  /**
   * @param configured ranges of the configuration; when there are any, kubelet's do not count.
   * @param stateDir folder of the file in which kubelet's are kept.
   */
  constructor(
    private readonly configured: readonly string[],
    stateDir: string,
    private readonly log: Pick<Logger, 'info' | 'warn'>,
  ) {
    this.#file = path.join(stateDir, fileName);
    this.#cidrs = configured.length > 0 ? configured : this.#kept();
  }

  get current(): readonly string[] {
    return this.#cidrs;
  }

  /**
   * @param given empty texts do not count.
   * @throws {InvalidArgumentError} for what is no range; then nothing has changed.
   */
  set(given: readonly string[]): void {
    const cidrs = given.map((text) => text.trim()).filter((text) => text !== '');
    const wrong = cidrs.find((cidr) => !isCidr(cidr));
    if (wrong !== undefined) {
      throw new InvalidArgumentError('network_config.pod_cidr', wrong, 'ranges as 10.1.0.0/24');
    }
    if (cidrs.length === 0 || this.configured.length > 0) return;
    if (cidrs.join() === this.#cidrs.join()) return;
    this.#cidrs = cidrs;
    this.log.info({ podCidrs: cidrs }, 'new pods get addresses of these ranges');
    try {
      mkdirSync(path.dirname(this.#file), { recursive: true });
      writeFileSync(`${this.#file}.tmp`, JSON.stringify({ podCidrs: cidrs }));
      renameSync(`${this.#file}.tmp`, this.#file);
    } catch (error) {
      const problem = errorMessage(error);
      this.log.warn({ problem }, "kubelet's ranges of pods will be unknown after a restart");
    }
  }

  /** A file that is not there, or is damaged, is as good as none: kubelet says them again. */
  #kept(): readonly string[] {
    try {
      const { podCidrs } = JSON.parse(readFileSync(this.#file, 'utf8')) as { podCidrs: unknown };
      return Array.isArray(podCidrs) ? podCidrs.map(String).filter(isCidr) : [];
    } catch {
      return [];
    }
  }
}
