import { outputFlags, reachFlags } from './common-flags';
import type { CommandDefinition, FlagDefinition } from './define';
import { usageOf } from './parse';

/** The help of the whole program. */
export function programHelp(commands: readonly CommandDefinition[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'stowctl: asks the services of Stowage on this node or on others, and has them work',
    '',
    'usage: stowctl COMMAND [flags]',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Without --node and --all the services of this node are asked, through their local sockets.',
    '',
    ...flagLines([...reachFlags, ...outputFlags]),
    '  --version              print the version',
    '',
    'Exit codes: 0 done; 1 failed, or not there; 64 wrong command line; check has its own.',
  ].join('\n');
}

/** The help of one command. */
export function commandHelp(command: CommandDefinition): string {
  const { summary, details = [], flags = [], reaches } = command;
  return [
    summary,
    '',
    `usage: ${usageOf(command)}`,
    ...(details.length > 0 ? ['', ...details] : []),
    ...(flags.length > 0 ? ['', ...flagLines(flags)] : []),
    '',
    ...flagLines([...(reaches === 'nodes' ? reachFlags : []), ...outputFlags]),
  ].join('\n');
}

const flagLines = (flags: readonly FlagDefinition[]): string[] =>
  flags.map(({ name, short, value, help }) => {
    const names = `${short === undefined ? '' : `-${short}, `}--${name}`;
    return `  ${`${names}${value === undefined ? '' : ` ${value}`}`.padEnd(21)}  ${help}`;
  });
