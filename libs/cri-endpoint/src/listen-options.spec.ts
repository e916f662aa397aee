import { activatedOr } from './listen-options';

const options = { socketPath: '/run/a.sock', takeOver: true, mode: 0o660 };

it.each([
  ['the name', { fd: 4, name: 'runtime', socketPath: '/run/b.sock' }, '/run/b.sock'],
  ['the path', { fd: 4, name: 'stowage.socket', socketPath: '/run/a.sock' }, '/run/a.sock'],
  ['the name alone', { fd: 4, name: 'runtime', socketPath: undefined }, '/run/a.sock'],
])('a socket that a supervisor made is used by %s', (_what, activated, socketPath) => {
  const found = activatedOr(
    options,
    ['runtime'],
    [{ fd: 3, name: 'other', socketPath: '/run/c.sock' }, activated],
  );
  expect(found).toMatchObject({ fd: 4, socketPath });
  expect(found).not.toHaveProperty('mode');
});

it('else one of our own is made', () => {
  const other = [{ fd: 3, name: 'other', socketPath: '/run/c.sock' }];
  expect(activatedOr(options, ['runtime'], other)).toBe(options);
});
