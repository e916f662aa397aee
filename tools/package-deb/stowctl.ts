import path from 'node:path';

/** A flag in stowctl's table of commands. */
export interface StowctlFlag {
  readonly name: string;
  readonly short?: string;
  readonly value?: string;
  readonly help: string;
  readonly choices?: readonly string[];
}

/** A command in stowctl's table. */
export interface StowctlCommand {
  readonly name: string;
  readonly summary: string;
  readonly details?: readonly string[];
  readonly args?: readonly { readonly name: string; readonly isOptional?: boolean }[];
  readonly flags?: readonly StowctlFlag[];
}

/** What the sources of stowctl say of its command line. */
export interface StowctlSource {
  readonly commands: readonly StowctlCommand[];
  readonly reachFlags: readonly StowctlFlag[];
  readonly outputFlags: readonly StowctlFlag[];
  readonly completionScript: (shell: 'bash' | 'zsh' | 'fish') => string;
}

/** Reads stowctl's own tables. */
export async function stowctlSource(): Promise<StowctlSource> {
  const folder = path.resolve(__dirname, '../../apps/stowctl/src');
  const load = (file: string) => import(path.join(folder, file)) as Promise<StowctlSource>;
  const { commands } = await load('commands/table.ts');
  const { reachFlags, outputFlags } = await load('command-line/common-flags.ts');
  const { completionScript } = await load('command-line/completion.ts');
  return { commands, reachFlags, outputFlags, completionScript };
}
