// `npm test [-- JEST ARGUMENTS]`: installs what is missing, builds the apps, and runs the unit
// tests (with the conformance vectors) and then the integration tests on the real stack. A few
// integration files that failed are run once more (docs/adr/0028-a-failed-file-is-run-again.md).
// The last line is `N passed, N failed`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  asRoot,
  buildApps,
  ensurePackages,
  ensurePrograms,
  root,
  testPrograms,
} from './bootstrap.mjs';
import { afterAnotherRun, countsOf, failedFiles, linesOf } from './test-results.cjs';

/**
 * A run that has reported its result but does not end, because a test left something open, is ended
 * then.
 */
const lingerMs = 20_000;

/**
 * Where more integration files fail than this, the code is broken and not the moment: none is run
 * once more.
 */
const mostFilesAgain = 3;

const projects = [
  { name: 'unit', title: 'Unit tests and conformance' },
  { name: 'integration', title: 'Integration tests on the real stack', needsStack: true },
];

const jestArgs = process.argv.slice(2);
const selected = selectedProjects(jestArgs);
const wanted = projects.filter(({ name }) => selected?.includes(name) ?? true);
const reports = mkdtempSync(path.join(tmpdir(), 'stowage-test-'));
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (interrupted = true));

const totals = { passed: 0, failed: 0 };
const summary = [];
try {
  ensurePackages();
  if (wanted.some(({ needsStack }) => needsStack)) {
    ensurePrograms(testPrograms, 'for the tests');
    buildApps();
  }
  for (const project of wanted) {
    if (interrupted) break;
    const { passed, failed, skipped, seconds, problems } = await runProject(project);
    totals.passed += passed;
    totals.failed += failed;
    const more = skipped > 0 ? `, ${skipped} skipped` : '';
    summary.push(`${project.title}: ${passed} passed, ${failed} failed${more} in ${seconds} s`);
    summary.push(...problems.map((problem) => `  ${problem}`));
  }
} finally {
  rmSync(reports, { recursive: true, force: true });
}
if (totals.passed + totals.failed === 0) summary.push('No test was run.');
if (interrupted) summary.push('Interrupted.');
process.stdout.write(`\n${summary.join('\n')}\n${totals.passed} passed, ${totals.failed} failed\n`);
process.exitCode = totals.failed > 0 || totals.passed === 0 || interrupted ? 1 : 0;

/** The projects that the jest arguments name, or undefined when they name none. */
function selectedProjects(args) {
  const at = args.findIndex((arg) => /^--selectProjects(=|$)/.test(arg));
  if (at < 0) return undefined;
  const [, inline] = args.splice(at, 1)[0].split('=');
  const names = inline === undefined ? [] : [inline];
  while (projects.some(({ name }) => name === args[at])) names.push(...args.splice(at, 1));
  return names;
}

/**
 * Runs one jest project and counts; a file that cannot run at all and a run that breaks off are
 * failures.
 */
async function runProject({ name, title, needsStack = false }) {
  process.stdout.write(`\n${title} ...\n`);
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  if (needsStack && asRoot([]) === undefined) {
    const problem = 'they start containerd and need root: run `npm test` as root, or install sudo';
    return { passed: 0, failed: 1, skipped: 0, seconds: 0, problems: [problem] };
  }
  if (needsStack && asRoot([])[0] === 'sudo')
    process.stdout.write('They start containerd, so they run through sudo.\n');
  // Integration tests wait for servers more than they compute, so two at a time also suit a small
  // machine.
  const args = [...(needsStack ? ['--maxWorkers=2'] : []), ...jestArgs];
  const first = await runJest(name, args, needsStack, 'first');
  const again = interrupted ? [] : failedFiles(first.result);
  if (!needsStack || again.length === 0 || again.length > mostFilesAgain) {
    return { ...outcomeOf(first, first.result), seconds: seconds() };
  }
  process.stdout.write(`\nOnce more, ${again.length} of the files above that failed ...\n`);
  const second = await runJest(name, ['--runInBand', '--runTestsByPath', ...again], true, 'again');
  if (interrupted) return { ...outcomeOf(first, first.result), seconds: seconds() };
  const result = afterAnotherRun(first.result, second.result);
  const { status, lingered } = second;
  return {
    ...outcomeOf({ status, lingered: lingered || first.lingered }, result),
    seconds: seconds(),
  };
}

/** What a run of jest came to. */
function outcomeOf({ status, lingered }, result) {
  const { passed, skipped, ...counted } = countsOf(result);
  let { failed } = counted;
  const problems = linesOf(result, root);
  if (lingered) problems.push('jest did not end by itself: a test has left something open');
  if (result === undefined) problems.push(`jest ended with ${status} before it had a result`);
  if (failed === 0 && (status !== 0 || lingered)) failed = 1;
  return { passed, failed, skipped, problems };
}

/**
 * Runs jest with its report on stderr; ends it when it lingers after the report has been written.
 */
function runJest(project, args, asRootUser, run) {
  const report = path.join(reports, `${project}-${run}.json`);
  const jest = [
    process.execPath,
    path.join(root, 'node_modules/.bin/jest'),
    ...['--selectProjects', project, '--passWithNoTests', '--json', '--outputFile', report],
    ...args,
  ];
  const [command, ...rest] = asRootUser ? asRoot(jest) : jest;
  return new Promise((resolve) => {
    // With --json jest prints the whole result to stdout, which nobody reads here.
    const child = spawn(command, rest, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
    let reportedAt;
    let lingered = false;
    const watch = setInterval(() => {
      if (reportedAt === undefined && existsSync(report)) reportedAt = Date.now();
      if (reportedAt === undefined || Date.now() - reportedAt < lingerMs) return;
      child.kill(lingered ? 'SIGKILL' : 'SIGTERM');
      lingered = true;
    }, 1_000);
    const end = (status) => {
      clearInterval(watch);
      const result = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined;
      resolve({ status, lingered, result });
    };
    child.on('error', (error) => end(error.message));
    child.on('exit', (code, signal) => end(code ?? signal));
  });
}
