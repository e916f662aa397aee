import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatProblem, miscMatches } from './program-format';
import { ProgramError, runProgram } from './run-program';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-programs-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const file = (name: string, content: string | Buffer, mode = 0o755): string => {
  const target = path.join(dir, name);
  writeFileSync(target, content);
  chmodSync(target, mode);
  return target;
};
const marker = () => path.join(dir, 'ran');
/** What a shell would run, were it given the file. */
const lines = () => `\ntouch ${marker()}\necho '{"Username":"u","Secret":"s"}'\n`;
const run = (program: string, env?: Record<string, string>) =>
  runProgram({
    program,
    args: [],
    input: '',
    env,
    timeoutMs: 10_000,
    signal: new AbortController().signal,
  });

/**
 * The program that runs this test, changed at some bytes and with lines for a shell behind its
 * header.
 */
function elf(changes: Record<number, number>): Buffer {
  const header = readFileSync(process.execPath).subarray(0, 64);
  const copy = Buffer.concat([header, Buffer.from(lines())]);
  for (const [at, value] of Object.entries(changes)) copy[Number(at)] = value;
  return copy;
}
const isBig = readFileSync(process.execPath)[5] === 2;
const at16 = (offset: number) => (isBig ? offset + 1 : offset);

describe('a file that the kernel does not run', () => {
  it.each<[string, () => string | Buffer, RegExp]>([
    ['a text without "#!"', lines, /it is no program: neither .* \(ELF\) nor a script/],
    ['an empty file', () => '', /it is empty/],
    [
      'a "#!" line without interpreter',
      () => `#!${lines()}`,
      /its first line names no interpreter/,
    ],
    [
      'a script with line ends of Windows',
      () => `#!/bin/sh\r\n${lines()}`,
      /its first line ends in a carriage return/,
    ],
    [
      'a script whose interpreter is not there',
      () => `#!/absent/python${lines()}`,
      /its interpreter "\/absent\/python": it does not exist/,
    ],
    [
      'a script whose interpreter is a text',
      () => `#!${file('interpreter', lines())}${lines()}`,
      /its interpreter ".*\/interpreter": it is no program/,
    ],
    [
      'a script whose interpreter is a folder',
      () => `#!${dir}${lines()}`,
      /its interpreter ".*": it is no regular file/,
    ],
    [
      'a program for another machine',
      () => elf({ [at16(18)]: 0xf7 }),
      /it is a program for machine 247 \(64 bits, .* endian\), and this machine runs /,
    ],
    ['a program of other bits', () => elf({ 4: 1 }), /it is a program for .* \(32 bits/],
    [
      'a script whose interpreter is a program for another machine',
      () => `#!${file('interpreter', elf({ [at16(18)]: 0xf7 }))}${lines()}`,
      /its interpreter ".*\/interpreter": it is a program for machine 247/,
    ],
    ['an object file', () => elf({ [at16(16)]: 1 }), /it is an ELF file, but no program/],
    ['a program that is cut', () => elf({}), /it is an ELF file that is damaged or cut/],
  ])('%s is refused in words, and run by nobody', async (_, content, reason) => {
    const program = file('program', content());
    const error: unknown = await run(program).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ProgramError);
    expect((error as Error).message).toMatch(/^cannot be started: /);
    expect((error as Error).message).toMatch(reason);
    expect(existsSync(marker())).toBe(false);
  });

  it('is refused by the kernel with a reason in words where it may not be executed', async () => {
    await expect(run(file('program', '#!/bin/sh\n', 0o644))).rejects.toThrow(
      /^cannot be started: EACCES: not executable for this user/,
    );
    await expect(run(path.join(dir, 'absent'))).rejects.toThrow(/^cannot be started: ENOENT$/);
  });

  it('is refused by its name in PATH too, where the first that may be executed counts', async () => {
    const { PATH } = process.env;
    for (const folder of ['a', 'b', 'c']) mkdirSync(path.join(dir, folder));
    file('a/helper', '#!/bin/sh\necho not executable', 0o644);
    file('b/helper', lines());
    file('c/helper', '#!/bin/sh\necho c');
    process.env.PATH = ['a', 'b', 'c'].map((folder) => path.join(dir, folder)).join(':');
    try {
      await expect(run('helper')).rejects.toThrow(/it is no program/);
      await expect(run('absent')).rejects.toThrow(/^cannot be started: ENOENT$/);
      rmSync(path.join(dir, 'b/helper'));
      expect(await run('helper')).toBe('c\n');
    } finally {
      process.env.PATH = PATH;
    }
    expect(existsSync(marker())).toBe(false);
  });
});

it.each<[string, string]>([
  ['a script', '#!/bin/sh\necho yes\n'],
  ['a script with an argument and blanks', '#! \t/bin/sh -e\necho yes\n'],
  ['a script without an end of line', '#!/bin/echo yes'],
])('%s runs', async (_, content) => {
  expect(await run(file('program', content))).toContain('yes');
});

it('a script whose interpreter is a script runs', async () => {
  const interpreter = file('interpreter', '#!/bin/sh\necho "runs $1"\n');
  const program = file('program', `#!${interpreter}\n`);
  expect(await run(program)).toBe(`runs ${program}\n`);
});

it('programs of this machine are taken', () => {
  for (const program of [process.execPath, '/bin/sh', '/usr/bin/env']) {
    expect(formatProblem(program)).toBeUndefined();
  }
});

it('formats that are registered with the kernel are known by their description', () => {
  const description = (more: string) => `enabled\ninterpreter /usr/bin/qemu\nflags: F\n${more}`;
  const magic = description('offset 0\nmagic 7f454c46f7\nmask fffffffffc\n');
  const header = Buffer.from('7f454c46f6aabb', 'hex');
  expect(miscMatches(magic, '/x', header)).toBe(true);
  expect(miscMatches(magic, '/x', Buffer.from('7f454c46e6aabb', 'hex'))).toBe(false);
  expect(miscMatches(magic.replace('enabled', 'disabled'), '/x', header)).toBe(false);
  expect(miscMatches(description('offset 2\nmagic 4c46\n'), '/x', header)).toBe(true);
  expect(miscMatches(description('extension .jar\n'), '/x.jar', header)).toBe(true);
  expect(miscMatches(description('extension .jar\n'), '/x', header)).toBe(false);
  expect(miscMatches(description(''), '/x', header)).toBe(false);
});
