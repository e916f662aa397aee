import { configFiles } from '@stowage/service-kit';
import { config, policyKeys, policyOf, type GcConfig } from './config';
import type { PolicySource } from './policy/live-policy';

/**
 * Where the configuration comes from: the arguments and environment that the process was started
 * with.
 */
export interface PolicyInput {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** The configuration that the process runs with. */
  readonly running: GcConfig;
}

/** Keys whose changes count without a restart, the policy and what the kit itself reads again. */
const reloaded: readonly (keyof GcConfig)[] = [...policyKeys, 'commands'];

/**
 * Reads the configuration again, by the rules of the start. `files` are the files and folders it
 * looked into the last time, and before.
 */
export async function policyFiles(
  input: PolicyInput,
): Promise<{ source: PolicySource; files: Iterable<string> }> {
  const { load, files } = configFiles(config, input);
  await load();
  const source: PolicySource = async () => {
    const outcome = await load();
    if (outcome.action === 'exit') return { problem: outcome.output };
    const now = outcome.config;
    const needRestart = (Object.keys(now) as (keyof GcConfig)[]).filter(
      (name) =>
        !reloaded.includes(name) &&
        JSON.stringify(now[name]) !== JSON.stringify(input.running[name]),
    );
    return { policy: policyOf(now), needRestart };
  };
  return { source, files };
}
