import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { errorCode } from './file-signature';

/** The kernel reads this much of a file to find out how to run it; a "#!" line ends before. */
const headerBytes = 256;

/** How often a script's interpreter may be a script again. The kernel's limit. */
const maxInterpreters = 5;

const executable = 2;
const sharedObject = 3;

/** Names of the machines that nodes have, by ELF's number. */
const machines: Readonly<Record<number, string>> = {
  3: 'i386',
  8: 'MIPS',
  20: 'PowerPC',
  21: 'PowerPC 64',
  22: 's390x',
  40: 'ARM',
  62: 'x86-64',
  183: 'ARM 64',
  243: 'RISC-V',
  258: 'LoongArch',
};

/**
 * Where in PATH a program stands; undefined when nowhere. A name with a slash is a path already.
 */
export function findProgram(name: string, searchPath = process.env.PATH ?? ''): string | undefined {
  if (name.includes('/')) return name;
  return searchPath
    .split(path.delimiter)
    .map((folder) => path.resolve(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
      } catch {
        return false;
      }
    });
}

/**
 * Why the kernel would not run a file as a program, in words; undefined when it would, or would say
 * so itself. Has to be known before: the C library hands a file that the kernel refuses (ENOEXEC)
 * to /bin/sh, which then runs whatever lines it finds in it, of a text as of a program for another
 * machine. kubelet and docker get the kernel's error.
 */
export function formatProblem(program: string): string | undefined {
  let file = program;
  for (let depth = 0; depth <= maxInterpreters; depth++) {
    const header = headerOf(file);
    if (typeof header === 'string') return ofFile(program, file, header);
    if (isMiscFormat(file, header)) return undefined;
    if (!startsWith(header, '#!')) {
      const problem = elfProblem(file, header);
      return problem === undefined ? undefined : ofFile(program, file, problem);
    }
    const interpreter = interpreterOf(header);
    if (interpreter.endsWith('\r')) {
      return ofFile(program, file, 'its first line ends in a carriage return');
    }
    if (interpreter === '') return ofFile(program, file, 'its first line names no interpreter');
    file = interpreter;
  }
  return 'its interpreters are scripts more than five times in a row';
}

const ofFile = (program: string, file: string, problem: string): string => {
  if (file === program) return problem;
  return `its interpreter ${JSON.stringify(file)}: ${problem === 'ENOENT' ? 'it does not exist' : problem}`;
};

/**
 * The first bytes; a text says why they cannot be read, empty for what the kernel says best itself.
 */
function headerOf(file: string): Buffer | string {
  try {
    if (!statSync(file).isFile()) return 'it is no regular file';
    const handle = openSync(file, 'r');
    try {
      const bytes = Buffer.alloc(headerBytes);
      return bytes.subarray(0, readSync(handle, bytes, 0, headerBytes, 0));
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? 'ENOENT' : `cannot be read: ${errorCode(error)}`;
  }
}

const startsWith = (bytes: Buffer, text: string): boolean =>
  bytes.subarray(0, text.length).toString('latin1') === text;

/**
 * The interpreter that a "#!" line names; empty when it names none or the line does not end where
 * the kernel looks.
 */
function interpreterOf(header: Buffer): string {
  const text = header.toString('latin1');
  const end = text.indexOf('\n');
  if (end < 0 && header.length === headerBytes && !/^#![ \t]*[^ \t]+[ \t]/.test(text)) return '';
  const line = text.slice(2, end < 0 ? undefined : end);
  return /^[ \t]*([^ \t\0]*)/.exec(line)?.[1] ?? '';
}

/** What of an ELF file the kernel looks at before it takes it for one of its own. */
function elfProblem(file: string, header: Buffer): string | undefined {
  if (header.length === 0) return 'it is empty';
  if (!startsWith(header, '\x7fELF')) {
    return 'it is no program: neither in the format of this system (ELF) nor a script that begins with "#!"';
  }
  const own = ownHeader();
  if (own === undefined) return undefined;
  const [wanted, found] = [machineOf(own), machineOf(header)];
  if (wanted !== found) return `it is a program for ${found}, and this machine runs ${wanted}`;
  const is64 = header[4] === 2;
  const read = (at: number, size: 2 | 4 | 8): number => {
    const bytes = header.subarray(at, at + size);
    if (bytes.length < size) return 0;
    if (size === 8) {
      return Number(header[5] === 2 ? bytes.readBigUInt64BE() : bytes.readBigUInt64LE());
    }
    return header[5] === 2 ? bytes.readUIntBE(0, size) : bytes.readUIntLE(0, size);
  };
  const type = read(16, 2);
  if (type !== executable && type !== sharedObject) {
    return 'it is an ELF file, but no program';
  }
  const [offset, size, count] = is64
    ? [read(32, 8), read(54, 2), read(56, 2)]
    : [read(28, 4), read(42, 2), read(44, 2)];
  const isWhole =
    size === (is64 ? 56 : 32) && count > 0 && offset + size * count <= statSync(file).size;
  return isWhole ? undefined : 'it is an ELF file that is damaged or cut';
}

function machineOf(header: Buffer): string {
  const isBig = header[5] === 2;
  const number = header.length < 20 ? 0 : isBig ? header.readUInt16BE(18) : header.readUInt16LE(18);
  const name = machines[number] ?? `machine ${number}`;
  return `${name} (${header[4] === 2 ? 64 : 32} bits, ${isBig ? 'big' : 'little'} endian)`;
}

let own: Buffer | undefined;

/** Of the program that runs here, which the kernel takes. */
function ownHeader(): Buffer | undefined {
  if (own === undefined) {
    const header = headerOf('/proc/self/exe');
    own = typeof header === 'string' || !startsWith(header, '\x7fELF') ? undefined : header;
  }
  return own;
}

const miscFolder = '/proc/sys/fs/binfmt_misc';

/**
 * Whether an interpreter is registered with the kernel for such files, as for programs of other
 * machines.
 */
function isMiscFormat(file: string, header: Buffer): boolean {
  try {
    return readdirSync(miscFolder)
      .filter((name) => name !== 'register' && name !== 'status')
      .some((name) => miscMatches(readFileSync(path.join(miscFolder, name), 'utf8'), file, header));
  } catch {
    return false;
  }
}

/** By the description that the kernel gives of a registered format. */
export function miscMatches(description: string, file: string, header: Buffer): boolean {
  if (!/^enabled$/m.test(description)) return false;
  const field = (name: string) => new RegExp(`^${name} (\\S+)$`, 'm').exec(description)?.[1];
  const extension = field('extension');
  if (extension !== undefined) return file.endsWith(extension);
  const magic = Buffer.from(field('magic') ?? '', 'hex');
  const mask = Buffer.from(field('mask') ?? 'ff'.repeat(magic.length), 'hex');
  const start = Number(field('offset') ?? 0);
  if (magic.length === 0 || header.length < start + magic.length) return false;
  return magic.every((byte, at) => (((header[start + at] ?? 0) ^ byte) & (mask[at] ?? 0)) === 0);
}
