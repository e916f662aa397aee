import { judge } from './known-ends';

describe('judge', () => {
  const known = [
    { name: /AppArmor/, outcome: 'skipped', reason: 'no AppArmor here' },
    { name: /user namespace/, outcome: 'failed', reason: 'the engine has none' },
    { name: /never/, outcome: 'failed', reason: 'none of these' },
  ] as const;

  it('explains what did not pass by name and outcome, and names the rest', () => {
    const results = [
      { name: 'a', outcome: 'passed' },
      { name: 'AppArmor one', outcome: 'skipped' },
      { name: 'AppArmor two', outcome: 'failed' },
      { name: 'user namespace', outcome: 'failed' },
      { name: 'b', outcome: 'skipped' },
    ] as const;
    const { unexplained, explained } = judge(results, known);
    expect(unexplained.map(({ name }) => name)).toEqual(['AppArmor two', 'b']);
    expect(explained).toEqual([
      { known: known[0], specs: ['AppArmor one'] },
      { known: known[1], specs: ['user namespace'] },
    ]);
  });

  it('has nothing to say where all passed', () => {
    expect(judge([{ name: 'AppArmor', outcome: 'passed' }], known)).toEqual({
      unexplained: [],
      explained: [],
    });
  });
});
