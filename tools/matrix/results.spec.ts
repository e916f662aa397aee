import {
  explain,
  hasContainerdImages,
  isDone,
  isPassed,
  mergeResults,
  readTestRun,
  readVersions,
  together,
  type MatrixResult,
} from './results';

const result: MatrixResult = {
  name: 'debian13',
  date: '2026-01-31',
  commit: 'a'.repeat(40),
  versions: {
    system: 'Debian GNU/Linux 13 (trixie)',
    containerd: '1.7.24',
    runc: '1.1.15',
    nats: '2.10.27',
    node: '20.19.2',
    kernel: '6.1.0-40-amd64',
  },
  passed: 3000,
  failed: 0,
  known: [],
  demo: 'passed',
  critest: 'not installed',
};

const output = `
  ● outer › takes 7 of 9
Unit tests and conformance: 2390 passed, 1 failed in 57 s
  failed: libs/a/src/a.spec.ts: refuses {"name":"a"}
Integration tests on the real stack: 595 passed, 2 failed in 648 s
  failed: apps/b/src/b.it.spec.ts: outer > takes 7 of 9
  jest did not end by itself: a test has left something open
  skipped: apps/b/src/b.it.spec.ts: outer > reads its store (only on containerd: CRI-O has no such store)
  flaky: apps/b/src/b.it.spec.ts: outer > is late
2985 passed, 3 failed
`;

it('reads totals and failures from the end of a test run', () => {
  expect(readTestRun(output)).toEqual({
    passed: 2985,
    failed: 3,
    failures: [
      'libs/a/src/a.spec.ts: refuses {"name":"a"}',
      'apps/b/src/b.it.spec.ts: outer > takes 7 of 9',
    ],
    skipped: [
      'apps/b/src/b.it.spec.ts: outer > reads its store (only on containerd: CRI-O has no such store)',
    ],
    flaky: ['apps/b/src/b.it.spec.ts: outer > is late'],
  });
});

it('a run that does not end with its totals was broken off', () => {
  expect(readTestRun(`${output}Killed\n`)).toBeUndefined();
  expect(readTestRun('')).toBeUndefined();
});

it('counts a failure with a known reason apart, for the names of the entry alone', () => {
  const difference = { names: ['debian13'], test: /takes \d of 9/, reason: 'it takes fewer' };
  const run = { ...readTestRun(output)!, skipped: [], flaky: [] };
  expect(explain('debian13', run, [difference])).toEqual({
    known: [{ test: 'apps/b/src/b.it.spec.ts: outer > takes 7 of 9', reason: 'it takes fewer' }],
    unexplained: ['libs/a/src/a.spec.ts: refuses {"name":"a"}'],
    // The one that has no title stays a failure.
    failed: 2,
  });
  expect(explain('debian-testing', run, [difference])).toMatchObject({ known: [], failed: 3 });
});

it('counts a test that says why it is skipped as known, and one that does not as failed', () => {
  const titles = [
    'a.spec.ts: reads its store (only on containerd: CRI-O has none)',
    'a.spec.ts: b',
  ];
  const run = { passed: 1, failed: 0, failures: [], skipped: titles, flaky: [] };
  expect(explain('crio-runc', run, [])).toEqual({
    known: [{ test: 'a.spec.ts: reads its store', reason: 'only on containerd: CRI-O has none' }],
    unexplained: ['a.spec.ts: b (skipped)'],
    failed: 1,
  });
});

it('lists a test that failed once, and passed in another run, as known', () => {
  const run = { passed: 1, failed: 0, failures: [], skipped: [], flaky: ['a.spec.ts: is late'] };
  expect(explain('debian13', run, [])).toEqual({
    known: [
      {
        test: 'a.spec.ts: is late',
        reason: 'it failed once, and passed when its file was run once more',
      },
    ],
    unexplained: [],
    failed: 0,
  });
});

it('reads versions of Debian packages and of upstream', () => {
  const printed = `system Debian GNU/Linux 13 (trixie)
containerd containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+b4
runc runc version 1.1.15+ds1
nats nats-server: v2.10.27
node v20.19.2
kernel 6.1.0-40-amd64
`;
  expect(readVersions(printed)).toEqual(result.versions);
  const onCrio = `${printed}crio crio version 1.36.3\nGitCommit: unknown\ncrun crun version 1.8.1\ncommit: f8a0\n`;
  expect(readVersions(onCrio)).toEqual({ ...result.versions, crio: '1.36.3', crun: '1.8.1' });
  const withDocker = `${printed}docker Docker version 28.5.2+dfsg4, build ecc6942\n`;
  expect(readVersions(withDocker)).toEqual({ ...result.versions, docker: '28.5.2' });
  expect(() => readVersions(printed.replace('nats-server: v2.10.27', ''))).toThrow(
    'no version of nats: ',
  );
});

it('counts several runs as one', () => {
  const run = { passed: 3, failed: 1, failures: ['a: x'], skipped: ['a: y'], flaky: [] };
  expect(together([run])).toEqual(run);
  const other = { passed: 2, failed: 1, failures: ['b: x'], skipped: [], flaky: ['b: z'] };
  expect(together([run, other])).toEqual({
    passed: 5,
    failed: 2,
    failures: ['a: x', 'b: x'],
    skipped: ['a: y'],
    flaky: ['b: z'],
  });
});

it.each([
  [undefined, false],
  ['20.10.24', false],
  ['24.0.7', true],
  ['28.5.2', true],
])('Docker Engine %s keeps its images with containerd: %s', (docker, expected) => {
  expect(hasContainerdImages({ ...result.versions, docker })).toBe(expected);
});

it('keeps the results of names that were not run, in the order of the names', () => {
  const other = { ...result, name: 'node-22' };
  const fresh = { ...result, passed: 1 };
  expect(mergeResults([other, result], [fresh], ['debian13', 'node-22'])).toEqual([fresh, other]);
  expect(mergeResults([other, result], [], ['node-22'])).toEqual([other]);
});

it('a name is done when it has passed with the very same commit', () => {
  const { commit } = result;
  expect(isDone('debian13', commit, [result])).toBe(true);
  expect(isDone('node-22', commit, [result])).toBe(false);
  expect(isDone('debian13', 'b'.repeat(40), [result])).toBe(false);
  for (const change of [{ failed: 1 }, { demo: 'failed' }, { critest: 'failed' }] as const) {
    expect(isPassed({ ...result, ...change })).toBe(false);
    expect(isDone('debian13', commit, [{ ...result, ...change }])).toBe(false);
  }
  expect(isPassed({ ...result, demo: 'not run', critest: 'not run' })).toBe(true);
  expect(isPassed({ ...result, known: [{ test: 'a', reason: 'b' }] })).toBe(true);
});
