/** Waiting for a resource, as `*.pressure` files say it; nanoseconds and percent. */
export interface Pressure {
  readonly totalNs: bigint;
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** Some tasks waited, or all of them. */
export interface PressureLines {
  readonly some?: Pressure;
  readonly full?: Pressure;
}

/** What was read from and written to one block device. */
export interface DeviceIo {
  readonly major: string;
  readonly minor: string;
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
  readonly reads: bigint;
  readonly writes: bigint;
}

/** Traffic of one network interface; bytes and packets. */
export interface InterfaceTraffic {
  readonly name: string;
  readonly receivedBytes: bigint;
  readonly receivedPackets: bigint;
  readonly receiveErrors: bigint;
  readonly receiveDropped: bigint;
  readonly sentBytes: bigint;
  readonly sentPackets: bigint;
  readonly sendErrors: bigint;
  readonly sendDropped: bigint;
}

/** The number that a file consists of; undefined without a file, and for `max`. */
export function wholeNumber(text: string | undefined): bigint | undefined {
  const trimmed = text?.trim() ?? '';
  return /^-?\d+$/.test(trimmed) ? BigInt(trimmed) : undefined;
}

/** The numbers of a file that has one on each line. */
export const wholeNumbers = (text: string | undefined): number[] =>
  (text ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);

/**
 * The numbers of a file of lines `name number`, as memory.stat is one, by name: looked for, since
 * few of many are wanted.
 */
export function numbersIn(text: string | undefined): (name: string) => bigint | undefined {
  const lines = `\n${text ?? ''}`;
  return (name) => {
    const begin = `\n${name} `;
    const at = lines.indexOf(begin);
    if (at < 0) return undefined;
    const end = lines.indexOf('\n', at + begin.length);
    return wholeNumber(lines.slice(at + begin.length, end < 0 ? undefined : end));
  };
}

const pressureLine = /^(some|full) avg10=(\S+) avg60=(\S+) avg300=(\S+) total=(\d+)$/gm;

/** A `*.pressure` file; undefined where the kernel has none. */
export function pressureLines(text: string | undefined): PressureLines | undefined {
  const lines: Record<string, Pressure> = {};
  for (const [, name = '', avg10, avg60, avg300, total] of (text ?? '').matchAll(pressureLine)) {
    lines[name] = {
      totalNs: (wholeNumber(total) ?? 0n) * 1000n,
      avg10: Number(avg10),
      avg60: Number(avg60),
      avg300: Number(avg300),
    };
  }
  return Object.keys(lines).length === 0 ? undefined : lines;
}

const noIo = { readBytes: 0n, writtenBytes: 0n, reads: 0n, writes: 0n };

/** The file io.stat: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`. */
export function ioStat(text: string | undefined): DeviceIo[] {
  const devices: DeviceIo[] = [];
  for (const line of (text ?? '').split('\n')) {
    const [device = '', ...fields] = line.split(' ');
    const [, major, minor] = /^(\d+):(\d+)$/.exec(device) ?? [];
    if (major === undefined || minor === undefined || !line.includes('=')) continue;
    const values = new Map(fields.map((field) => field.split('=', 2) as [string, string]));
    devices.push({
      major,
      minor,
      readBytes: wholeNumber(values.get('rbytes')) ?? 0n,
      writtenBytes: wholeNumber(values.get('wbytes')) ?? 0n,
      reads: wholeNumber(values.get('rios')) ?? 0n,
      writes: wholeNumber(values.get('wios')) ?? 0n,
    });
  }
  return devices;
}

/** The two files of the blkio controller: lines `8:0 Read 123`. */
export function blkioStat(bytes: string | undefined, operations: string | undefined): DeviceIo[] {
  const devices = new Map<string, DeviceIo>();
  const take = (text: string | undefined, read: keyof DeviceIo, write: keyof DeviceIo) => {
    for (const line of (text ?? '').split('\n')) {
      const [, major = '', minor = '', kind, value] =
        /^(\d+):(\d+) (Read|Write) (\d+)$/.exec(line) ?? [];
      if (value === undefined) continue;
      const device = `${major}:${minor}`;
      devices.set(device, {
        ...(devices.get(device) ?? { major, minor, ...noIo }),
        [kind === 'Read' ? read : write]: BigInt(value),
      });
    }
  };
  take(bytes, 'readBytes', 'writtenBytes');
  take(operations, 'reads', 'writes');
  return [...devices.values()];
}

/** The file `/proc/<pid>/net/dev`, without the loopback interface. */
export function netDev(text: string): InterfaceTraffic[] {
  const interfaces: InterfaceTraffic[] = [];
  for (const line of text.split('\n')) {
    const [, name, rest = ''] = /^\s*([^:\s]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || name === 'lo') continue;
    const at = rest.trim().split(/\s+/);
    const value = (index: number) => wholeNumber(at[index]) ?? 0n;
    interfaces.push({
      name,
      receivedBytes: value(0),
      receivedPackets: value(1),
      receiveErrors: value(2),
      receiveDropped: value(3),
      sentBytes: value(8),
      sentPackets: value(9),
      sendErrors: value(10),
      sendDropped: value(11),
    });
  }
  return interfaces;
}
