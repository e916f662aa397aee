import { UnitFile } from './unit-file';

const unit = new UnitFile(
  [
    '# a comment',
    '[Unit]',
    'After=a.service b.service',
    'After=c.service',
    '[Service]',
    'ExecStart=/bin/node  main.js',
    'User=root',
    'User=stowage',
    'ReadWritePaths=/a',
    'ReadWritePaths=',
    'ReadWritePaths=-/b /c',
    'NoNewPrivileges=yes',
    'PrivateTmp=no',
  ].join('\n'),
);

it('the last value of a key counts, and lists go on until an empty value', () => {
  expect(unit.words('Unit.After')).toEqual(['a.service', 'b.service', 'c.service']);
  expect(unit.words('Service.ExecStart')).toEqual(['/bin/node', 'main.js']);
  expect(unit.text('Service.User')).toBe('stowage');
  expect(unit.words('Service.ReadWritePaths')).toEqual(['-/b', '/c']);
});

it('what is not there is empty, and off', () => {
  expect(unit.text('Socket.ListenStream')).toBeUndefined();
  expect(unit.words('Service.After')).toEqual([]);
  expect(unit.isOn('Service.NoNewPrivileges')).toBe(true);
  expect(unit.isOn('Service.PrivateTmp')).toBe(false);
});
