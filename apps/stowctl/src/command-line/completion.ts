import { outputFlags, reachFlags } from './common-flags';
import type { CommandDefinition, FlagDefinition } from './define';
import { flagsOf } from './parse';

/** Shells that there is a completion for. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/**
 * Words that may follow the ones before the cursor, of which the last is still being written. Never
 * throws: a line that is not understood has no completion.
 */
export function candidates(
  before: readonly string[],
  commands: readonly CommandDefinition[],
): string[] {
  const last = before.at(-1) ?? '';
  const given = before.slice(0, -1);
  const words = wordsOf(given, commands.flatMap(flagsOf));
  const command = [2, 1]
    .map((length) => commands.find(({ name }) => name === words.slice(0, length).join(' ')))
    .find((found) => found !== undefined);
  const flags = command === undefined ? [...reachFlags, ...outputFlags] : flagsOf(command);
  const open = openFlag(given.at(-1) ?? '', flags);
  if (open !== undefined) return matching(open.choices ?? [], last);
  if (last.startsWith('-'))
    return matching(
      flags.map(({ name }) => `--${name}`),
      last,
    );
  if (command === undefined) {
    const next = commands
      .map(({ name }) => name.split(' '))
      .filter((parts) => words.every((word, index) => parts[index] === word))
      .map((parts) => parts[words.length] ?? '');
    return matching([...new Set(next)], last);
  }
  const place = words.length - command.name.split(' ').length;
  return matching(command.args?.[place]?.choices ?? [], last);
}

/** The flag that the word is, if a value has to follow it. */
const openFlag = (word: string, flags: readonly FlagDefinition[]): FlagDefinition | undefined =>
  flags.find(
    ({ name, short, value }) =>
      value !== undefined &&
      (word === `--${name}` || (short !== undefined && word === `-${short}`)),
  );

/** What is neither a flag nor the value of one. */
const wordsOf = (given: readonly string[], flags: readonly FlagDefinition[]): string[] =>
  given.filter(
    (word, at) => !word.startsWith('-') && openFlag(given[at - 1] ?? '', flags) === undefined,
  );

const matching = (words: readonly string[], start: string): string[] =>
  words.filter((word) => word !== '' && word.startsWith(start));

/** What to put into the shell's start-up file, or into its folder of completions. */
export function completionScript(shell: Shell, program = 'stowctl'): string {
  // In the names of functions.
  const name = program.replaceAll(/\W/g, '_');
  switch (shell) {
    case 'bash':
      return [
        `_${name}() {`,
        `  local IFS=$'\\n'`,
        `  COMPREPLY=($(${program} __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))`,
        '}',
        `complete -o default -F _${name} ${program}`,
      ].join('\n');
    case 'zsh':
      return [
        `#compdef ${program}`,
        `_${name}() {`,
        '  local -a found',
        `  found=("\${(@f)$(${program} __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")`,
        '  [[ -n "$found" ]] && compadd -a found || _files',
        '}',
        // A file of a folder of fpath is the function itself: its first use has to complete, too.
        `if [ "$funcstack[1]" = "_${name}" ]; then`,
        `  _${name} "$@"`,
        'else',
        `  compdef _${name} ${program}`,
        'fi',
      ].join('\n');
    case 'fish':
      return [
        `function __${name}_complete`,
        '  set -l words (commandline -opc) (commandline -ct)',
        `  ${program} __complete $words[2..-1] 2>/dev/null`,
        'end',
        `complete -c ${program} -f -a '(__${name}_complete)'`,
      ].join('\n');
  }
}
