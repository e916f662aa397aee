import { commands } from '../commands/table';
import { UsageError } from '../failures';
import { candidates, completionScript, shells } from './completion';
import { commandHelp, programHelp } from './help';
import { flagsOf, parseLine } from './parse';

const refused = (line: string): string => {
  try {
    parseLine(line.split(' '), commands);
  } catch (error) {
    if (error instanceof UsageError) return `${error.message}; ${error.remedy}`;
    throw error;
  }
  throw new Error(`${line} was understood`);
};

describe('a command line', () => {
  it.each([
    ['images', 'images', [], {}],
    ['images nginx:1.25', 'images', ['nginx:1.25'], {}],
    ['gc run --plan 5f0c', 'gc run', [], { plan: '5f0c' }],
    [
      '--node a,b -o json images --sort=size',
      'images',
      [],
      { node: 'a,b', output: 'json', sort: 'size' },
    ],
    ['events -f --type ImagePulled', 'events', [], { type: 'ImagePulled' }],
    ['why -- -odd', 'why', ['-odd'], {}],
  ])('%s', (line, name, args, texts) => {
    const parsed = parseLine(line.split(' '), commands);
    expect(parsed.command?.name).toBe(name);
    expect(parsed.args).toEqual(args);
    for (const [flag, text] of Object.entries(texts)) expect(parsed.flags.text(flag)).toBe(text);
  });

  it.each([
    ['imgaes', 'unknown command "imgaes"; the nearest is: stowctl images'],
    ['staus', 'unknown command "staus"; the nearest is: stowctl status'],
    ['gc', 'gc needs a second word; there is: gc run'],
    ['gc rnu', 'unknown command "gc rnu"; there is: gc run'],
    ['run', 'unknown command "run"; the nearest is: stowctl gc run'],
    ['images --srot size', 'unknown flag --srot of images; the nearest is: --sort'],
    ['images --sort', '--sort needs a value; write it as --sort KEY'],
    [
      'images --sort sise',
      '--sort "sise" is not known; the nearest is size; there is: name, size, age, last-used',
    ],
    ['images --reverse=no', '--reverse takes no value; stowctl --help lists commands and flags'],
    ['images a b', 'images does not take "b"; usage: stowctl images [IMAGE] [flags]'],
    ['why', 'why needs IMAGE; usage: stowctl why IMAGE [flags]'],
    ['completion zhs', 'SHELL "zhs" is not known; the nearest is zsh; there is: bash, zsh, fish'],
    // Flags of another command are none of this one.
    ['pods --plan x', 'unknown flag --plan of pods; the nearest is: --all'],
    ['--nod', 'unknown flag --nod; the nearest is: --node'],
  ])('%s is refused', (line, problem) => {
    expect(refused(line)).toBe(problem);
  });

  it('help is given whatever else is missing', () => {
    const { command, flags } = parseLine(['why', '--help'], commands);
    expect([command?.name, flags.has('help')]).toEqual(['why', true]);
  });
});

describe('the table of commands', () => {
  it('has no command twice, and sentences for all', () => {
    const names = commands.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { summary } of commands) expect(summary).toMatch(/^[A-Z].*\.$/);
  });

  it('a flag takes a value in all commands or in none', () => {
    const takesValue = new Map<string, boolean>();
    for (const { name, value, short } of commands.flatMap(flagsOf)) {
      const known = takesValue.get(name);
      expect([name, known ?? value !== undefined]).toEqual([name, value !== undefined]);
      takesValue.set(name, value !== undefined);
      expect(short ?? 'x').toHaveLength(1);
    }
  });

  it.each(commands.map((command) => [command.name, command] as const))(
    '%s: its code can be loaded, and its help names every flag',
    async (name, command) => {
      expect(await command.load()).toEqual(expect.any(Function));
      const help = commandHelp(command);
      expect(help).toContain(`usage: stowctl ${name}`);
      for (const flag of flagsOf(command)) expect(help).toContain(`--${flag.name}`);
      expect(programHelp(commands)).toContain(`  ${name} `);
    },
  );
});

describe('completion', () => {
  it.each([
    ['', ['status', 'nodes', 'gc', 'config', 'context']],
    ['st', ['status']],
    ['gc ', ['run']],
    ['config ', ['explain', 'diff']],
    ['images --so', ['--sort', '--sockets']],
    ['images --sort ', ['name', 'size', 'age', 'last-used']],
    ['images --sort s', ['size']],
    ['images -o y', ['yaml']],
    ['completion ', ['bash', 'zsh', 'fish']],
    ['images --reverse --pin', ['--pinned']],
    ['-o y', ['yaml']],
    ['--serv', ['--server']],
    ['--node a,b -o json images --so', ['--sort', '--sockets']],
    ['--timeout 5s gc ', ['run']],
  ])('after %j', (line, expected) => {
    expect(candidates(line.split(' '), commands)).toEqual(expect.arrayContaining(expected));
    if (line.includes(' '))
      expect(candidates(line.split(' '), commands)).toHaveLength(expected.length);
  });

  it.each(shells)('%s: the script asks the program', (shell) => {
    expect(completionScript(shell)).toContain('stowctl __complete');
  });
});
