import { parseArgs } from 'node:util';
import { nearest } from '@stowage/errors';
import { UsageError } from '../failures';
import { outputFlags, reachFlags } from './common-flags';
import type { CommandDefinition, FlagDefinition, GivenFlags } from './define';

/** A command line that was understood. */
export interface ParsedLine {
  /** Absent: the help of the whole program. */
  readonly command?: CommandDefinition;
  readonly args: readonly string[];
  readonly flags: GivenFlags;
}

/** The flags that a command takes. */
export const flagsOf = ({ flags = [], reaches }: CommandDefinition): FlagDefinition[] => [
  ...flags,
  ...(reaches === 'nodes' ? reachFlags : []),
  ...outputFlags,
];

/**
 * Reads a command line. Flags may stand anywhere. Throws UsageError for what is not known, with the
 * nearest name that is.
 */
export function parseLine(
  argv: readonly string[],
  commands: readonly CommandDefinition[],
): ParsedLine {
  const known = new Map(commands.flatMap(flagsOf).map((flag) => [flag.name, flag]));
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries([...known.values()].map((flag) => [flag.name, optionOf(flag)])),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const words = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []));
  const { command, args } = commandOf(words, commands);
  const allowed = command === undefined ? [...reachFlags, ...outputFlags] : flagsOf(command);
  const given = new Map<string, string | true>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const flag = allowed.find(({ name }) => name === token.name);
    if (flag === undefined) throw unknownFlag(token.rawName, token.name, allowed, command);
    given.set(flag.name, valueOf(flag, token.rawName, token.value));
  }
  const flags: GivenFlags = {
    has: (name) => given.has(name),
    text: (name) => {
      const value = given.get(name);
      return typeof value === 'string' ? value : undefined;
    },
  };
  if (command === undefined) {
    if (words.length > 0) throw unknownCommand(words, commands);
    return { args: [], flags };
  }
  if (!flags.has('help')) checkArguments(command, args);
  return { command, args, flags };
}

const optionOf = ({ value, short }: FlagDefinition) => {
  const type = value === undefined ? ('boolean' as const) : ('string' as const);
  return short === undefined ? { type } : { type, short };
};

/** The command with most words that the line begins with. */
function commandOf(
  words: readonly string[],
  commands: readonly CommandDefinition[],
): { command?: CommandDefinition; args: string[] } {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const command = commands.find((candidate) => candidate.name === name);
    if (command !== undefined && words.length >= length) {
      return { command, args: words.slice(length) };
    }
  }
  return { args: [] };
}

function unknownCommand(
  words: readonly string[],
  commands: readonly CommandDefinition[],
): UsageError {
  const names = commands.map(({ name }) => name);
  const [first = ''] = words;
  const below = names.filter((name) => name.startsWith(`${first} `));
  if (below.length > 0) {
    const [, second] = words;
    const problem =
      second === undefined
        ? `${first} needs a second word`
        : `unknown command "${first} ${second}"`;
    return new UsageError(problem, `there is: ${below.join(', ')}`);
  }
  const near = nearest(first, [...new Set(names.flatMap((name) => [name, ...name.split(' ')]))]);
  const name = names.find((candidate) => candidate.split(' ').includes(near?.name ?? '')) ?? '';
  return new UsageError(
    `unknown command ${JSON.stringify(first)}`,
    `the nearest is: stowctl ${names.includes(near?.name ?? '') ? (near?.name ?? '') : name}`,
  );
}

function unknownFlag(
  raw: string,
  name: string,
  allowed: readonly FlagDefinition[],
  command: CommandDefinition | undefined,
): UsageError {
  const near = nearest(
    name,
    allowed.map((flag) => flag.name),
  );
  const of = command === undefined ? '' : ` of ${command.name}`;
  return new UsageError(`unknown flag ${raw}${of}`, `the nearest is: --${near?.name ?? 'help'}`);
}

function valueOf(flag: FlagDefinition, raw: string, value: string | undefined): string | true {
  if (flag.value === undefined) {
    if (value !== undefined) throw new UsageError(`${raw} takes no value`);
    return true;
  }
  if (value === undefined || value === '') {
    throw new UsageError(`${raw} needs a value`, `write it as --${flag.name} ${flag.value}`);
  }
  if (flag.choices !== undefined && !flag.choices.includes(value)) {
    throw notOneOf(`${raw} ${JSON.stringify(value)}`, value, flag.choices);
  }
  return value;
}

const notOneOf = (what: string, value: string, choices: readonly string[]): UsageError =>
  new UsageError(
    `${what} is not known`,
    `the nearest is ${nearest(value, choices)?.name ?? ''}; there is: ${choices.join(', ')}`,
  );

function checkArguments(command: CommandDefinition, given: readonly string[]): void {
  const wanted = command.args ?? [];
  const missing = wanted.find(({ isOptional }, index) => !isOptional && given[index] === undefined);
  if (missing !== undefined) {
    throw new UsageError(`${command.name} needs ${missing.name}`, `usage: ${usageOf(command)}`);
  }
  if (given.length > wanted.length) {
    const extra = JSON.stringify(given[wanted.length]);
    throw new UsageError(`${command.name} does not take ${extra}`, `usage: ${usageOf(command)}`);
  }
  for (const [index, { name, choices }] of wanted.entries()) {
    const value = given[index];
    if (value === undefined || choices === undefined || choices.includes(value)) continue;
    throw notOneOf(`${name} ${JSON.stringify(value)}`, value, choices);
  }
}

/** One line, as in `stowctl images [IMAGE] [flags]`. */
export function usageOf({ name, args = [] }: CommandDefinition): string {
  const words = args.map((arg) => (arg.isOptional ? `[${arg.name}]` : arg.name));
  return ['stowctl', name, ...words, '[flags]'].join(' ');
}
