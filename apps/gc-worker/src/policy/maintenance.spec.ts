import { inMaintenance, isTimeZone, parseWindow } from './maintenance';

const at = (time: string, windows: string[], maintenanceTimeZone = 'UTC') =>
  inMaintenance({ maintenanceWindows: windows, maintenanceTimeZone }, Date.parse(time));

describe('inMaintenance', () => {
  // 2026-11-20 is a Friday.
  it.each([
    ['at any time without windows', '2026-11-20T12:00:00Z', [], true],
    ['from the first minute', '2026-11-20T22:00:00Z', ['22:00-23:00'], true],
    ['not in the minute of the end', '2026-11-20T23:00:00Z', ['22:00-23:00'], false],
    [
      'after midnight, in the night of the day before',
      '2026-11-21T05:59:59Z',
      ['Fri 22:00-06:00'],
      true,
    ],
    ['not after midnight of another day', '2026-11-22T05:00:00Z', ['Fri 22:00-06:00'], false],
    ['on a day of the range', '2026-11-20T12:00:00Z', ['Mon-Fri 10:00-14:00'], true],
    ['on a range over the end of the week', '2026-11-22T12:00:00Z', ['Sat-Mon 10:00-14:00'], true],
    ['not on another day', '2026-11-21T12:00:00Z', ['Mon-Fri 10:00-14:00'], false],
    ['on a day of the list, whole', '2026-11-21T23:59:59Z', ['Sat,Sun 00:00-24:00'], true],
    ['in the second window', '2026-11-21T12:00:00Z', ['Mon 01:00-02:00', 'sat 11:00-13:00'], true],
  ])('is open %s', (_, time, windows, isOpen) => {
    expect(at(time, windows)).toBe(isOpen);
  });

  it('counts in the time zone that is set, with its summer time', () => {
    expect(at('2026-07-01T20:30:00Z', ['22:00-23:00'], 'Europe/Berlin')).toBe(true);
    expect(at('2026-11-20T20:30:00Z', ['22:00-23:00'], 'Europe/Berlin')).toBe(false);
    expect(at('2026-11-20T21:30:00Z', ['Fri 22:00-23:00'], 'Europe/Berlin')).toBe(true);
  });
});

describe('parseWindow', () => {
  it.each([
    '',
    '22:00',
    '22:00-22:00',
    '25:00-26:00',
    '10:60-11:00',
    'Foo 10:00-11:00',
    'Mon-Tue-Wed 10:00-11:00',
    '24:00-02:00',
  ])('refuses %p', (text) => {
    expect(parseWindow(text)).toBeUndefined();
  });
  it('knows time zones', () => {
    expect([isTimeZone('Europe/Berlin'), isTimeZone('Nowhere/Land')]).toEqual([true, false]);
  });
});
