import { blkioStat, ioStat, netDev, numbersIn, pressureLines, wholeNumber } from './kernel-text';

describe('wholeNumber', () => {
  it.each([
    ['12\n', 12n],
    ['-1\n', -1n],
    ['18446744073709551615\n', 2n ** 64n - 1n],
    ['max\n', undefined],
    ['', undefined],
    [undefined, undefined],
    ['1.5', undefined],
  ])('of %j is %s', (text, value) => {
    expect(wholeNumber(text)).toBe(value);
  });
});

it('numbersIn finds lines of a name and a number, by the whole name', () => {
  const number = numbersIn(
    'anon 1\ninactive_file 5\nfile 2\nodd\nword x\nlast 18446744073709551615',
  );
  expect(['anon', 'file', 'last'].map(number)).toEqual([1n, 2n, 2n ** 64n - 1n]);
  expect(['odd', 'word', 'non', 'fil', ''].map(number)).toEqual(Array(5).fill(undefined));
  expect(numbersIn(undefined)('anon')).toBeUndefined();
});

it('pressureLines reads both lines, or one, as older kernels have it for CPU', () => {
  expect(pressureLines('some avg10=2.00 avg60=1.00 avg300=0.50 total=7\n')).toEqual({
    some: { totalNs: 7000n, avg10: 2, avg60: 1, avg300: 0.5 },
  });
  expect(pressureLines(undefined)).toBeUndefined();
  expect(pressureLines('')).toBeUndefined();
});

it('ioStat passes over devices without numbers', () => {
  expect(ioStat('8:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:16 \n253:1\n')).toEqual([
    { major: '8', minor: '0', readBytes: 1n, writtenBytes: 2n, reads: 3n, writes: 4n },
  ]);
});

it('blkioStat puts the two files together, and passes over totals', () => {
  expect(
    blkioStat(
      '8:0 Read 1\n8:0 Write 2\n8:0 Sync 9\n8:0 Total 3\nTotal 3\n',
      '8:0 Read 4\n8:16 Write 5\n',
    ),
  ).toEqual([
    { major: '8', minor: '0', readBytes: 1n, writtenBytes: 2n, reads: 4n, writes: 0n },
    { major: '8', minor: '16', readBytes: 0n, writtenBytes: 0n, reads: 0n, writes: 5n },
  ]);
});

it('netDev reads a name that touches its first number', () => {
  const text =
    'Inter-| x\n face | y\n  eth0:18446744073709551615 2 3 4 0 0 0 0 9 10 11 12 0 0 0 0\n    lo: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n';
  expect(netDev(text)).toEqual([
    {
      name: 'eth0',
      receivedBytes: 2n ** 64n - 1n,
      receivedPackets: 2n,
      receiveErrors: 3n,
      receiveDropped: 4n,
      sentBytes: 9n,
      sentPackets: 10n,
      sendErrors: 11n,
      sendDropped: 12n,
    },
  ]);
});
