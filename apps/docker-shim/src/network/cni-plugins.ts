import { withTimeout } from '@stowage/async';
import { errorMessage } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { CniArgs } from './capability-args';
import { isObject, type JsonObject } from './cni-config';
import { CniError, CniPluginMissingError } from './cni-errors';
import { runPlugin, type PluginExit } from './run-plugin';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION';

/** What a plugin is told by its environment of the pod that it is called for. */
export interface CniEnvironment {
  readonly containerId: string;
  /** Path of its network namespace; empty when that is gone. */
  readonly netns: string;
  readonly ifName: string;
  readonly args: CniArgs;
}

/** A plugin that ran. */
export interface EndedPluginCall {
  readonly command: CniCommand;
  /** `cancelled` means that its time was over, or that nobody waited any more. */
  readonly result: 'ok' | 'failed' | 'cancelled';
  readonly durationMs: number;
}

export interface CniPluginsOptions {
  /** Folders of plugins, the first one that has a plugin counts. */
  readonly binDirs: readonly string[];
  readonly log: Pick<Logger, 'debug'>;
  readonly onEnded?: (call: EndedPluginCall) => void;
}

/** Limit of questions that are no work on a pod, milliseconds. */
const questionLimitMs = 10_000;

const nobody: CniEnvironment = { containerId: '', netns: '', ifName: '', args: [] };
/** Plugins of old demand these also when they are only asked for their versions. */
const anybody: CniEnvironment = { containerId: 'x', netns: 'x', ifName: 'x', args: [] };

/** The programs of CNI plugins, and the protocol to call them. */
export class CniPlugins {
  /** Versions by program; the key changes with the file. */
  #versions = new Map<string, readonly string[]>();

  constructor(private readonly options: CniPluginsOptions) {}

  /**
   * Calls a plugin, and returns what it printed.
   *
   * @param type name of its program.
   * @param config its configuration, as it gets it on standard input.
   * @throws {CniError} when it fails, or is not there. @throws the reason of the signal.
   */
  async call(
    command: CniCommand,
    type: string,
    config: JsonObject,
    { signal, environment = nobody }: { signal: AbortSignal; environment?: CniEnvironment },
  ): Promise<string> {
    const file = await this.#find(type);
    if (file === undefined) throw new CniPluginMissingError(command, type, this.options.binDirs);
    const started = performance.now();
    let result: EndedPluginCall['result'] = 'failed';
    try {
      const env = this.#environment(command, environment);
      const exit = await runPlugin(file, { env, input: JSON.stringify(config), signal });
      this.#logStderr(command, type, exit);
      if (exit.code !== 0) throw failure(command, type, exit);
      result = 'ok';
      return exit.stdout;
    } catch (error) {
      if (signal.aborted) result = 'cancelled';
      if (signal.aborted || error instanceof CniError) throw error;
      const problem = `it cannot be started: ${errorMessage(error)}`;
      throw new CniError(command, type, problem, {}, { cause: error });
    } finally {
      this.options.onEnded?.({ command, result, durationMs: performance.now() - started });
    }
  }

  /**
   * Asks a plugin something that has nothing to do with a pod; it has ten seconds.
   *
   * @throws as {@link call}, and {@link DeadlineExceededError}
   */
  ask(
    command: 'STATUS' | 'VERSION',
    type: string,
    config: JsonObject,
    { signal, environment }: { signal: AbortSignal; environment?: CniEnvironment },
  ): Promise<string> {
    return withTimeout(
      (limited) => this.call(command, type, config, { signal: limited, environment }),
      { what: `CNI plugin ${type} at ${command}`, timeoutMs: questionLimitMs, signal },
    );
  }

  /**
   * Versions of the specification that a plugin speaks. It is asked once for each program.
   *
   * @throws {CniError} when it is not there, or fails.
   */
  async versions(type: string, signal: AbortSignal): Promise<readonly string[]> {
    const file = await this.#find(type);
    if (file === undefined) throw new CniPluginMissingError('VERSION', type, this.options.binDirs);
    const { ino, size, mtimeNs } = await stat(file, { bigint: true });
    const key = [file, ino, size, mtimeNs].join(':');
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const asked = await this.#askVersions(type, signal);
    // Of a program that was replaced, what its predecessor spoke is of no use any more.
    for (const other of this.#versions.keys()) {
      if (other.startsWith(`${file}:`)) this.#versions.delete(other);
    }
    this.#versions.set(key, asked);
    return asked;
  }

  async #askVersions(type: string, signal: AbortSignal): Promise<readonly string[]> {
    const config = { cniVersion: '1.1.0' };
    let printed: string;
    try {
      printed = await this.ask('VERSION', type, config, { signal, environment: anybody });
    } catch (error) {
      // Before version 0.2.0 there was no such question.
      if (error instanceof CniError && /unknown CNI_COMMAND/i.test(error.message)) return ['0.1.0'];
      throw error;
    }
    const answer = parsed(printed);
    const { supportedVersions } = answer ?? {};
    if (!Array.isArray(supportedVersions)) {
      throw new CniError('VERSION', type, 'its answer names no versions');
    }
    return supportedVersions.map(String);
  }

  async #find(type: string): Promise<string | undefined> {
    for (const folder of this.options.binDirs) {
      const file = path.join(folder, type);
      const found = await stat(file).catch(() => undefined);
      if (found?.isFile() === true) return file;
    }
    return undefined;
  }

  /** This process's environment without the suite's own variables, and what the protocol says. */
  #environment(
    command: CniCommand,
    { containerId, netns, ifName, args }: CniEnvironment,
  ): Record<string, string | undefined> {
    const own = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('STOWAGE_') && !name.startsWith('CNI_'),
    );
    return {
      ...Object.fromEntries(own),
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: netns,
      CNI_IFNAME: ifName,
      CNI_ARGS: args.map(([name, value]) => `${name}=${value}`).join(';'),
      CNI_PATH: this.options.binDirs.join(':'),
    };
  }

  #logStderr(command: CniCommand, plugin: string, { stderr }: PluginExit): void {
    if (stderr === '') return;
    this.options.log.debug({ command, plugin, stderr }, 'a CNI plugin wrote to standard error');
  }
}

/** The plugin's own error, or how it ended where it gave none. */
function failure(command: CniCommand, type: string, { code, stdout }: PluginExit): CniError {
  const answer = parsed(stdout);
  if (typeof answer?.msg !== 'string') {
    const how = code === undefined ? 'it was killed' : `it ended with exit code ${code}`;
    return new CniError(command, type, `${how} and said nothing on standard output`);
  }
  return new CniError(command, type, answer.msg, {
    code: typeof answer.code === 'number' ? answer.code : undefined,
    details: typeof answer.details === 'string' ? answer.details : undefined,
  });
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
