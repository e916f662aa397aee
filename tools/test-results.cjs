// Counts and lines of what jest reports as JSON, for tools/test.mjs.
const path = require('node:path');

const countOf = ({ assertionResults }, ...wanted) =>
  assertionResults.filter(({ status }) => wanted.includes(status)).length;

/** A file that failed without a failed test could not be run, or its set-up or clean-up failed. */
const isBroken = (file) => file.status === 'failed' && countOf(file, 'failed') === 0;

/** Numbers of tests; a file that cannot be run counts as a failure. */
function countsOf(result) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of result?.testResults ?? []) {
    counts.passed += countOf(file, 'passed');
    counts.failed += isBroken(file) ? 1 : countOf(file, 'failed');
    counts.skipped += countOf(file, 'pending', 'todo');
  }
  return counts;
}

/** Paths of the files in which something failed. */
const failedFiles = (result) =>
  (result?.testResults ?? []).filter(({ status }) => status === 'failed').map(({ name }) => name);

/**
 * The first result with the files that were run once more as they ended then. A file that is not in
 * the second result stays as it was. What failed at first is kept in `firstFailures` of its file.
 */
function afterAnotherRun(first, second) {
  const again = new Map((second?.testResults ?? []).map((file) => [file.name, file]));
  const testResults = first.testResults.map((file) => {
    const fresh = again.get(file.name);
    return fresh === undefined ? file : { ...fresh, firstFailures: titlesOf(file, 'failed') };
  });
  return { ...first, testResults };
}

/**
 * A line for each failed, skipped and flaky test, and for each file that could not be run. Paths
 * are relative to `root`.
 */
function linesOf(result, root) {
  return (result?.testResults ?? []).flatMap((file) => {
    const name = path.relative(root, file.name);
    const line = (how) => (title) => `${how}: ${name}: ${title.replaceAll(/\s+/g, ' ')}`;
    const failed = titlesOf(file, 'failed');
    const flaky = (file.firstFailures ?? []).filter((title) => !failed.includes(title));
    return [
      ...failed.map(line('failed')),
      ...flaky.map(line('flaky')),
      ...titlesOf(file, 'pending', 'todo').map(line('skipped')),
    ];
  });
}

function titlesOf(file, ...wanted) {
  const titles = file.assertionResults
    .filter(({ status }) => wanted.includes(status))
    .map(({ ancestorTitles, title }) => [...ancestorTitles, title].join(' > '));
  return wanted.includes('failed') && isBroken(file) ? ['cannot be run'] : titles;
}

module.exports = { afterAnotherRun, countsOf, failedFiles, linesOf };
