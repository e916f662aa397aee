import { activatedSockets } from './activated-sockets';

const pathOf = (fd: number) => `/run/${fd}.sock`;

it.each([
  [
    'sockets with their names',
    { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' },
    ['3 a', '4 b'],
  ],
  ['sockets without names', { LISTEN_PID: '7', LISTEN_FDS: '2' }, ['3 ', '4 ']],
  [
    'fewer names than sockets',
    { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a' },
    ['3 a', '4 '],
  ],
  ['none for another process', { LISTEN_PID: '8', LISTEN_FDS: '2' }, []],
  ['none without a process', { LISTEN_FDS: '2' }, []],
  ['none with a count that is no number', { LISTEN_PID: '7', LISTEN_FDS: '-1' }, []],
  ['none at all', {}, []],
])('%s', (_what, env, expected) => {
  const found = activatedSockets(env, 7, pathOf);
  expect(found.map(({ fd, name }) => `${fd} ${name}`)).toEqual(expected);
  expect(found.map(({ socketPath }) => socketPath)).toEqual(found.map(({ fd }) => pathOf(fd)));
});

it('a descriptor that is no unix socket has no path', () => {
  expect(activatedSockets({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7)[0]).toMatchObject({ fd: 3 });
});
