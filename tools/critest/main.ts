/**
 * Runs critest (the CRI validation specs of cri-tools) against a real containerd, directly and
 * through the suite's sockets, and compares the result of every spec. Each way gets its own stack.
 * Exit code 1 when a result differs.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { finished } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { errorMessage } from '@stowage/errors';
import { startStack, type AppProcess } from '@stowage/testing';
import {
  count,
  differences,
  focusOn,
  readonlyViolations,
  readReport,
  type Difference,
  type SpecResult,
} from './compare';
import { judge, type Judged } from './known-ends';
import { pushTestImages } from './test-images';
import { direct, ways, type Way } from './ways';

/** How often a spec that differs is run again, on each side. */
const repeats = 2;

const help = `usage: npm run critest [-- OPTION ... [WAY ...]]

Runs critest against a private containerd and through Stowage's sockets, and compares spec by spec. On a Docker Engine,
through docker-shim, every spec has to pass, but for known ones.

ways, all unless named:
${ways.map(({ name, text }) => `  ${name.padEnd(10)} ${text}`).join('\n')}

options:
  --critest FILE   the program; default: critest on PATH
  --focus REGEX    only specs whose name matches
  --skip REGEX     without specs whose name matches
  --report DIR     keep critest's reports and output there
  --help

A spec that ends otherwise than on containerd itself is run again, ${repeats} times on each side: if it is unsteady on containerd
itself, it is listed and not counted as a difference.
`;

/** Specs that only ask, and so have to end on the read-only socket as on the runtime itself. */
const readsOnly = /runtime should return (version info|runtime conditions)/;

interface RunOptions {
  critest: string;
  reports: string;
  focus: readonly string[];
  skip: readonly string[];
}

const say = (line = ''): void => void process.stdout.write(`${line}\n`);
let interrupted = false;

/** All specs on one way, on a stack of its own. */
async function run(way: Way, label: string, options: RunOptions): Promise<SpecResult[]> {
  const stack = await startStack(way.stack);
  const apps: AppProcess[] = [];
  try {
    await pushTestImages(stack);
    const endpoints = await way.start(stack, apps);
    const report = path.join(options.reports, `${label}.json`);
    const log = path.join(options.reports, `${label}.log`);
    const flag = (name: string) => (value: string) => `--ginkgo.${name}=${value}`;
    const code = await runProgram(
      options.critest,
      [
        `--runtime-endpoint=${endpoints.runtime}`,
        `--image-endpoint=${endpoints.image}`,
        `--ginkgo.json-report=${report}`,
        '--ginkgo.no-color',
        '--ginkgo.seed=1',
        '--ginkgo.timeout=1h',
        ...(way.options ?? []),
        ...options.focus.map(flag('focus')),
        ...options.skip.map(flag('skip')),
      ],
      log,
    );
    try {
      return readReport(readFileSync(report, 'utf8'));
    } catch (error) {
      const output = readFileSync(log, 'utf8').split('\n').slice(-30).join('\n');
      throw new Error(
        `critest ended with ${code} and without a report (${errorMessage(error)}):\n${output}`,
        { cause: error },
      );
    }
  } finally {
    for (const app of apps) await app.kill();
    await stack.down();
  }
}

async function runProgram(program: string, args: string[], log: string): Promise<string> {
  const output = createWriteStream(log);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const interrupt = (): void => {
    interrupted = true;
    child.kill('SIGTERM');
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  try {
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (...end) => resolve(end));
    });
    if (interrupted) throw new Error('interrupted');
    return signal ?? `exit code ${code ?? '?'}`;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    output.end();
    await finished(output);
  }
}

const outcomeOf = (results: readonly SpecResult[], name: string): string =>
  results.find((spec) => spec.name === name)?.outcome ?? 'absent';

/**
 * Runs the specs that differ again, on both sides, and separates real differences from specs that
 * are flaky anyway.
 */
async function again(
  way: Way,
  found: readonly Difference[],
  options: RunOptions,
): Promise<{ real: Difference[]; unsteady: string[] }> {
  const focus = found.map(({ name }) => focusOn(name));
  const unsteady = new Set<string>();
  for (let time = 1; time <= repeats; time++) {
    const own = await run(direct, `${way.name}-again-${time}-direct`, { ...options, focus });
    for (const { name, direct: before } of found) {
      if (outcomeOf(own, name) !== before) unsteady.add(name);
    }
    const through = await run(way, `${way.name}-again-${time}`, { ...options, focus });
    say(
      `  again ${time}: ${differences(own, through).length} of ${found.length} end otherwise through ${way.name}`,
    );
  }
  return {
    real: found.filter(({ name }) => !unsteady.has(name)),
    unsteady: [...unsteady],
  };
}

const row = (cells: readonly (string | number)[]): string =>
  cells
    .map((cell, column) => (column === 0 ? String(cell).padEnd(12) : String(cell).padStart(9)))
    .join('');

const firstLine = (text = ''): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(0, 3)
    .join(' ')
    .slice(0, 300);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      critest: { type: 'string' },
      focus: { type: 'string', multiple: true, default: [] },
      skip: { type: 'string', multiple: true, default: [] },
      report: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const unknown = positionals.filter((name) => !ways.some((way) => way.name === name));
  if (unknown.length > 0 || values.critest === undefined) {
    process.stderr.write(
      `${unknown.length > 0 ? `no way is called ${unknown.join(', ')}\n\n` : ''}${help}`,
    );
    return 64;
  }
  const chosen = ways.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const reports = values.report ?? mkdtempSync(path.join(tmpdir(), 'stowage-critest-'));
  mkdirSync(reports, { recursive: true });
  const options = { critest: values.critest, reports, focus: values.focus, skip: values.skip };

  try {
    const rows: (string | number)[][] = [];
    const problems: { way: Way; real: Difference[]; unsteady: string[] }[] = [];
    const judged: ({ way: Way } & Judged)[] = [];
    const timed = async (way: Way): Promise<SpecResult[]> => {
      const began = Date.now();
      const results = await run(way, way.name, options);
      const { passed, failed } = count(results);
      const seconds = Math.round((Date.now() - began) / 1000);
      say(`${way.name}: ${passed} passed, ${failed} failed, ${seconds} s (${way.text})`);
      return results;
    };
    let own: SpecResult[] = [];
    if (chosen.some(({ known }) => known === undefined)) {
      own = await timed(direct);
      const total = count(own);
      if (total.passed === 0)
        throw new Error('no spec passed on containerd itself: nothing to compare');
      rows.push([direct.name, total.passed, total.failed, total.skipped, '-', '-']);
    }
    for (const way of chosen) {
      const results = await timed(way);
      const { passed, failed, skipped } = count(results);
      if (way.known !== undefined) {
        if (passed === 0) throw new Error(`no spec passed on ${way.text}`);
        const { unexplained, explained } = judge(results, way.known);
        rows.push([way.name, passed, failed, skipped, unexplained.length, '-']);
        judged.push({ way, unexplained, explained });
        continue;
      }
      const found =
        way.readonly === true
          ? readonlyViolations(own, results, readsOnly)
          : differences(own, results);
      const { real, unsteady } =
        found.length === 0 ? { real: [], unsteady: [] } : await again(way, found, options);
      rows.push([way.name, passed, failed, skipped, real.length, unsteady.length]);
      problems.push({ way, real, unsteady });
    }
    say();
    say(row(['way', 'passed', 'failed', 'skipped', 'differ', 'unsteady']));
    for (const cells of rows) say(row(cells));
    const failing = own.filter(({ outcome }) => outcome === 'failed');
    if (failing.length > 0) say('\nfailed on containerd itself:');
    for (const { name, message } of failing) say(`  ${name}\n      ${firstLine(message)}`);
    for (const { way, real, unsteady } of problems) {
      if (real.length > 0) say(`\ndiffer through ${way.name}:`);
      for (const { name, direct: before, through, message } of real) {
        say(
          `  ${name}: ${before} on containerd itself, ${through} here\n      ${firstLine(message)}`,
        );
      }
      if (unsteady.length > 0) say(`\nunsteady on containerd itself, found at ${way.name}:`);
      for (const name of unsteady) say(`  ${name}`);
    }
    for (const { way, unexplained, explained } of judged) {
      if (explained.length > 0) say(`\nknown not to pass on ${way.name}:`);
      for (const { known, specs } of explained) {
        say(`  ${specs.length} ${known.outcome}: ${known.reason}`);
        for (const name of specs) say(`      ${name}`);
      }
      if (unexplained.length > 0) say(`\ndo not pass on ${way.name}:`);
      for (const { name, outcome, message } of unexplained) {
        say(`  ${name}: ${outcome}\n      ${firstLine(message)}`);
      }
    }
    const differing =
      problems.reduce((sum, { real }) => sum + real.length, 0) +
      judged.reduce((sum, { unexplained }) => sum + unexplained.length, 0);
    say(
      differing === 0
        ? `\nevery spec ends as it should, ${chosen.length} ways`
        : `\n${differing} differences`,
    );
    return differing === 0 ? 0 : 1;
  } finally {
    if (values.report === undefined) rmSync(reports, { recursive: true, force: true });
  }
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`${errorMessage(error)}\n`);
    process.exitCode = 1;
  },
);
