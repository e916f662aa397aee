import {
  afterAnotherRun,
  countsOf,
  failedFiles,
  linesOf,
  type FileResult,
} from './test-results.cjs';

const file = (name: string, tests: Record<string, string>, status = 'passed'): FileResult => ({
  name: `/src/${name}`,
  status: Object.values(tests).includes('failed') ? 'failed' : status,
  assertionResults: Object.entries(tests).map(([title, ended]) => ({
    ancestorTitles: ['outer'],
    title,
    status: ended,
  })),
});

const first = {
  testResults: [
    file('a.it.spec.ts', { one: 'passed', two: 'passed', later: 'todo' }),
    file('b.it.spec.ts', { one: 'passed', two: 'failed' }),
    file('c.it.spec.ts', {}, 'failed'),
  ],
};

it('counts tests, and a file that cannot be run as a failure', () => {
  expect(countsOf(first)).toEqual({ passed: 3, failed: 2, skipped: 1 });
  expect(failedFiles(first)).toEqual(['/src/b.it.spec.ts', '/src/c.it.spec.ts']);
  expect(linesOf(first, '/src')).toEqual([
    'skipped: a.it.spec.ts: outer > later',
    'failed: b.it.spec.ts: outer > two',
    'failed: c.it.spec.ts: cannot be run',
  ]);
});

it('counts what passes in another run as passed and names it', () => {
  const again = {
    testResults: [
      file('b.it.spec.ts', { one: 'passed', two: 'passed' }),
      file('c.it.spec.ts', { one: 'passed' }),
    ],
  };
  const result = afterAnotherRun(first, again);
  expect(countsOf(result)).toEqual({ passed: 5, failed: 0, skipped: 1 });
  expect(linesOf(result, '/src')).toEqual([
    'skipped: a.it.spec.ts: outer > later',
    'flaky: b.it.spec.ts: outer > two',
    'flaky: c.it.spec.ts: cannot be run',
  ]);
});

it('counts what fails in another run as failed, also another test than at first', () => {
  const again = { testResults: [file('b.it.spec.ts', { one: 'failed', two: 'passed' })] };
  const result = afterAnotherRun(first, again);
  expect(countsOf(result)).toEqual({ passed: 3, failed: 2, skipped: 1 });
  expect(linesOf(result, '/src')).toEqual([
    'skipped: a.it.spec.ts: outer > later',
    'failed: b.it.spec.ts: outer > one',
    'flaky: b.it.spec.ts: outer > two',
    'failed: c.it.spec.ts: cannot be run',
  ]);
});

it('keeps every failure where another run has no result', () => {
  expect(afterAnotherRun(first, undefined)).toEqual(first);
  expect(countsOf(undefined)).toEqual({ passed: 0, failed: 0, skipped: 0 });
});
