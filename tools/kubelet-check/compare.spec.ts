import { differences, surprises } from './compare';
import type { KnownDifference } from './known-differences';

const known: readonly KnownDifference[] = [
  { scenario: 'pods', what: /message/, without: / \[tried: [^\]]*\]/g, reason: 'what was tried' },
  { scenario: 'restart', what: /^lines$/, through: /^[0-3] lines$/, reason: 'a few lines' },
];

describe('differences', () => {
  it('are what was seen otherwise, in either direction, by name', () => {
    const own = { same: '1', other: 'a', gone: 'x' };
    expect(differences('pods', own, { same: '1', other: 'b', more: 'y' }, known)).toEqual([
      { what: 'gone', wanted: 'x', seen: '(absent)', reason: undefined },
      { what: 'more', wanted: '(absent)', seen: 'y', reason: undefined },
      { what: 'other', wanted: 'a', seen: 'b', reason: undefined },
    ]);
  });

  it.each([
    ['explained by what may be added', 'not found [tried: plugin]', 'what was tried'],
    ['not where something else differs too', 'denied [tried: plugin]', undefined],
  ])('are %s', (_title, seen, reason) => {
    const own = { 'priv: message': 'not found' };
    expect(differences('pods', own, { 'priv: message': seen }, known)).toEqual([
      { what: 'priv: message', wanted: 'not found', seen, reason },
    ]);
  });

  it.each([
    ['restart', 'lines', '3 lines', 'a few lines'],
    ['restart', 'lines', '4 lines', undefined],
    ['restart', 'state', '3 lines', undefined],
    ['pods', 'lines', '3 lines', undefined],
  ])('of scenario %s and observation %s, seen as %s: %s', (scenario, what, seen, reason) => {
    expect(differences(scenario, { [what]: 'none' }, { [what]: seen }, known)).toEqual([
      { what, wanted: 'none', seen, reason },
    ]);
  });
});

describe('surprises', () => {
  it('are what was seen otherwise than expected, or not at all', () => {
    const expected = { state: 'Running', log: /^ok\n$/, code: '0' };
    expect(
      surprises(expected, { state: 'Running', log: 'ok\n', code: '0', more: '' }, { isBare: true }),
    ).toEqual([]);
    expect(surprises(expected, { state: 'Failed', log: 'ok' }, { isBare: true })).toEqual([
      { what: 'state', wanted: 'Running', seen: 'Failed' },
      { what: 'log', wanted: '/^ok\\n$/', seen: 'ok' },
      { what: 'code', wanted: '0', seen: '(absent)' },
    ]);
  });

  it('of what there is only with Stowage are none on the runtime itself', () => {
    const expected = { 'stowage: events': 'none lost' };
    expect(surprises(expected, {}, { isBare: true })).toEqual([]);
    expect(surprises(expected, {}, { isBare: false })).toHaveLength(1);
    expect(differences('pods', {}, { 'stowage: events': 'none lost' }, known)).toEqual([]);
  });
});
