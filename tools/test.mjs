// `npm test [-- JEST ARGUMENTS]`: installs what is missing, builds the apps, and runs the unit tests (with the
// conformance vectors) and then the integration tests on the real stack. The last line is `N passed, N failed`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { asRoot, buildApps, ensurePackages, ensurePrograms, root } from './bootstrap.mjs';

/** A run that has reported its result but does not end, because a test left something open, is ended then. */
const lingerMs = 20_000;

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
    ensurePrograms();
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

/** Runs one jest project and counts; a file that cannot run at all and a run that breaks off are failures. */
async function runProject({ name, title, needsStack = false }) {
  process.stdout.write(`\n${title} ...\n`);
  const started = Date.now();
  const report = path.join(reports, `${name}.json`);
  const jest = [
    process.execPath,
    path.join(root, 'node_modules/.bin/jest'),
    ...['--selectProjects', name, '--passWithNoTests', '--json', '--outputFile', report],
    // Integration tests wait for servers more than they compute, so two at a time also suit a small machine.
    ...(needsStack ? ['--maxWorkers=2'] : []),
    ...jestArgs,
  ];
  const commandLine = needsStack ? asRoot(jest) : jest;
  if (commandLine === undefined) {
    const problem = 'they start containerd and need root: run `npm test` as root, or install sudo';
    return { passed: 0, failed: 1, skipped: 0, seconds: 0, problems: [problem] };
  }
  if (commandLine[0] === 'sudo')
    process.stdout.write('They start containerd, so they run through sudo.\n');
  const { status, lingered } = await runJest(commandLine, report);
  const problems = [];
  const result = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined;
  const passed = result?.numPassedTests ?? 0;
  let failed = (result?.numFailedTests ?? 0) + (result?.numRuntimeErrorTestSuites ?? 0);
  problems.push(...failuresOf(result));
  if (lingered) problems.push('jest did not end by itself: a test has left something open');
  if (result === undefined) problems.push(`jest ended with ${status} before it had a result`);
  if (failed === 0 && (status !== 0 || lingered)) failed = 1;
  return {
    passed,
    failed,
    skipped: (result?.numPendingTests ?? 0) + (result?.numTodoTests ?? 0),
    seconds: Math.round((Date.now() - started) / 1000),
    problems,
  };
}

/** A line for each failed or skipped test, and for each file that could not be run. */
function failuresOf(result) {
  return (result?.testResults ?? []).flatMap(({ name, status, assertionResults }) => {
    const file = path.relative(root, name);
    const titlesOf = (...wanted) =>
      assertionResults
        .filter((test) => wanted.includes(test.status))
        .map(({ ancestorTitles, title }) => [...ancestorTitles, title].join(' > '));
    const titles = titlesOf('failed');
    if (titles.length === 0 && status === 'failed') titles.push('cannot be run');
    const skipped = titlesOf('pending', 'todo');
    const line = (how) => (title) => `${how}: ${file}: ${title.replaceAll(/\s+/g, ' ')}`;
    return [...titles.map(line('failed')), ...skipped.map(line('skipped'))];
  });
}

/** Runs jest with its report on stderr; ends it when it lingers after the report has been written. */
function runJest([command, ...args], report) {
  return new Promise((resolve) => {
    // With --json jest prints the whole result to stdout, which nobody reads here.
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
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
      resolve({ status, lingered });
    };
    child.on('error', (error) => end(error.message));
    child.on('exit', (code, signal) => end(code ?? signal));
  });
}
