import {
  count,
  differences,
  focusOn,
  readonlyViolations,
  readReport,
  type SpecResult,
} from './compare';

const spec = (name: string, state: string, more: object = {}) => ({
  ContainerHierarchyTexts: ['[k8s.io] Runtime', 'pods'],
  ContainerHierarchyLocations: [],
  LeafNodeType: 'It',
  LeafNodeText: name,
  State: state,
  ...more,
});
const report = (...specs: object[]) => JSON.stringify([{ SuitePath: '/', SpecReports: specs }]);

describe('readReport', () => {
  it('names specs by all their texts and sorts them', () => {
    const text = report(
      spec('b', 'failed', { Failure: { Message: 'no' } }),
      spec('a', 'passed'),
      spec('a', 'skipped'),
      spec('c', 'pending'),
      spec('d', 'panicked'),
      spec('e', 'timedout'),
    );
    const group = '[k8s.io] Runtime pods';
    expect(readReport(text)).toEqual([
      { name: '[k8s.io] Runtime pods a', outcome: 'passed', group },
      { name: '[k8s.io] Runtime pods a (2)', outcome: 'skipped', group },
      { name: '[k8s.io] Runtime pods b', outcome: 'failed', message: 'no', group },
      { name: '[k8s.io] Runtime pods c', outcome: 'skipped', group },
      { name: '[k8s.io] Runtime pods d', outcome: 'failed', group },
      { name: '[k8s.io] Runtime pods e', outcome: 'failed', group },
    ]);
  });

  it('takes the set-up of a suite only when it failed', () => {
    const setUp = { LeafNodeType: 'BeforeSuite', LeafNodeText: '', ContainerHierarchyTexts: null };
    expect(readReport(report(spec('', 'passed', setUp)))).toEqual([]);
    expect(readReport(report(spec('', 'failed', setUp)))).toEqual([
      { name: 'BeforeSuite', outcome: 'failed', group: '' },
    ]);
  });

  it('takes a suite without specs', () => {
    expect(readReport('[{"SpecReports":null}]')).toEqual([]);
  });

  it.each(['', '{}', 'no report'])('refuses "%s"', (text) => {
    expect(() => readReport(text)).toThrow(SyntaxError);
  });
});

const results = (ends: Record<string, SpecResult['outcome'] | [string]>): SpecResult[] =>
  Object.entries(ends).map(([name, end]) =>
    typeof end === 'string' ? { name, outcome: end } : { name, outcome: 'failed', message: end[0] },
  );

describe('differences', () => {
  const own = results({ a: 'passed', b: ['not found'], c: 'skipped', d: 'passed' });

  it('are none when every spec ends alike, whatever the reason of a failure says', () => {
    expect(differences(own, results({ ...ends(own), b: ['another reason'] }))).toEqual([]);
  });

  it('are specs that end otherwise, in either direction, or did not run', () => {
    const through = results({ a: ['broken'], b: 'passed', c: 'skipped', e: 'passed' });
    expect(differences(own, through)).toEqual([
      { name: 'a', direct: 'passed', through: 'failed', message: 'broken' },
      { name: 'b', direct: 'failed', through: 'passed', message: 'not found' },
      { name: 'd', direct: 'passed', through: 'absent', message: undefined },
      { name: 'e', direct: 'absent', through: 'passed', message: undefined },
    ]);
  });

  it('are counted', () => {
    expect(count(own)).toEqual({ passed: 2, failed: 1, skipped: 1 });
  });
});

const ends = (list: readonly SpecResult[]): Record<string, SpecResult['outcome']> =>
  Object.fromEntries(list.map(({ name, outcome }) => [name, outcome]));

describe('readonlyViolations', () => {
  const own = results({ version: 'passed', run: 'passed', pull: 'passed', code: 'passed' });
  const refused = 'rpc error: code = PermissionDenied desc = /runtime.v1… is not allowed';

  it('are none when what changes something is refused', () => {
    const through = results({
      version: 'passed',
      run: [refused],
      pull: [refused],
      code: ['Expected\n    <codes.Code>: 7\nto equal\n    <codes.Code>: 4'],
    });
    expect(readonlyViolations(own, through, /^version$/)).toEqual([]);
  });

  it('are reads that are refused, and failures for other reasons', () => {
    const through = results({
      version: [refused],
      run: [refused],
      pull: ['rpc error: code = Internal desc = no'],
      code: ['Expected\n    <codes.Code>: 77'],
    });
    expect(
      readonlyViolations(own, through, /^version$/).map(({ name, message }) => [name, message]),
    ).toEqual([
      ['code', 'Expected\n    <codes.Code>: 77'],
      ['pull', 'rpc error: code = Internal desc = no'],
      ['version', refused],
    ]);
  });
});

describe('readonlyViolations, of specs that were skipped', () => {
  const verbose =
    'failed to get runtime config: rpc error: code = PermissionDenied desc = /runtime.v1.RuntimeService/Status with verbose is not allowed: this socket is read-only';
  const skip = { Failure: { Message: 'no runtime handler found which supports user namespaces' } };
  const inGroup = (group: string) => ({ ContainerHierarchyTexts: ['Security', group, 'inner'] });
  const specs = (first: object, ...rest: object[]) => readReport(report(first, ...rest));
  const own = specs(
    spec('a', 'passed', inGroup('UserNamespaces')),
    spec('b', 'passed', inGroup('UserNamespaces')),
    spec('c', 'passed', inGroup('Groups')),
  );
  const names = (through: SpecResult[], readsOnly = /^none$/) =>
    readonlyViolations(own, through, readsOnly).map(({ name }) => name);

  it('are none where a spec of the group was refused Status with verbose', () => {
    const through = specs(
      spec('a', 'failed', { ...inGroup('UserNamespaces'), Failure: { Message: verbose } }),
      spec('b', 'skipped', { ...inGroup('UserNamespaces'), ...skip }),
      spec('c', 'skipped', { ...inGroup('Groups'), ...skip }),
    );
    expect(names(through)).toEqual(['Security Groups inner c']);
    expect(names(through, / b$/)).toEqual([
      'Security Groups inner c',
      'Security UserNamespaces inner b',
    ]);
  });

  it('are all where only something else was refused', () => {
    const refusal = 'rpc error: code = PermissionDenied desc = /…/RunPodSandbox is not allowed';
    const through = specs(
      spec('a', 'failed', { ...inGroup('UserNamespaces'), Failure: { Message: refusal } }),
      spec('b', 'skipped', { ...inGroup('UserNamespaces'), ...skip }),
      spec('c', 'passed', inGroup('Groups')),
    );
    expect(names(through)).toEqual(['Security UserNamespaces inner b']);
  });
});

describe('focusOn', () => {
  it.each([
    ['[k8s.io] Runtime (v1) pods a.b', 'CRI validation [k8s.io] Runtime (v1) pods a.b', true],
    ['a b (2)', 'CRI validation a b', true],
    ['a b', 'CRI validation a b c', false],
    ['a.b', 'CRI validation a-b', false],
  ])('picks by "%s" in "%s": %s', (name, text, picked) => {
    expect(new RegExp(focusOn(name)).test(text)).toBe(picked);
  });
});
