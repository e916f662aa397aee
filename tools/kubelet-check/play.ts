/**
 * Plays scenarios on one way, inside namespaces of its own, and writes what was seen. `main.ts`
 * starts it for each way.
 */
import { execFileSync } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import path from 'node:path';
import { errorMessage } from '@stowage/errors';
import type { Observations } from './compare';
import { Lab, ways, type LabSettings } from './lab';
import type { Recording } from './calls/recorded-call';
import type { Scenario } from './scenario';
import { scenarios } from './scenarios';
import { recordedPods } from './scenarios/pods';

/**
 * What `main.ts` asks for; {@link playedFile} goes into its report, and {@link recordingFile}
 * instead where calls are recorded.
 */
export interface Play extends Omit<LabSettings, 'way' | 'signal' | 'imageFileSystemMb'> {
  readonly way: string;
  readonly scenarios: readonly string[];
}

/** What was seen of each scenario, or why it could not be played. */
export interface Played {
  readonly versions: Readonly<Record<'kubelet' | 'runtime' | 'runc' | 'kernel', string>>;
  readonly scenarios: Readonly<
    Record<string, { readonly seen: Observations } | { readonly error: string }>
  >;
}

export const playedFile = 'played.json';
export const recordingFile = 'recording.json';

const ending = new AbortController();
setMaxListeners(0, ending.signal); // everything that waits listens to it
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => ending.abort(new Error(signal)));
}

async function play(wanted: Play): Promise<void> {
  const way = ways.find(({ name }) => name === wanted.way);
  if (way === undefined) throw new Error(`no way is called ${wanted.way}`);
  mkdirSync(wanted.report, { recursive: true });
  const played: Record<string, { seen: Observations } | { error: string }> = {};
  const chosen = wanted.record
    ? [recordedPods]
    : scenarios.filter(({ name }) => wanted.scenarios.includes(name));
  for (const together of onOneStack(chosen)) {
    const { name = '', imageFileSystemMb } = together[0] ?? {};
    const report = imageFileSystemMb === undefined ? wanted.report : path.join(wanted.report, name);
    const lab = await Lab.start({
      ...wanted,
      ...{ report, way, imageFileSystemMb, signal: ending.signal },
    });
    try {
      for (const scenario of together) played[scenario.name] = await playOne(lab, scenario);
      if (wanted.record) writeRecording(lab, wanted);
    } finally {
      await lab.down();
    }
  }
  const result: Played = { versions: versions(wanted), scenarios: played };
  writeFileSync(path.join(wanted.report, playedFile), JSON.stringify(result, undefined, 2));
}

/**
 * Scenarios that share a stack, in their order: those that want none of their own, then each of the
 * others.
 */
function onOneStack(chosen: readonly Scenario[]): Scenario[][] {
  const shared = chosen.filter(({ imageFileSystemMb }) => imageFileSystemMb === undefined);
  const alone = chosen.filter(({ imageFileSystemMb }) => imageFileSystemMb !== undefined);
  return [...(shared.length > 0 ? [shared] : []), ...alone.map((one) => [one])];
}

async function playOne(
  lab: Lab,
  scenario: Scenario,
): Promise<{ seen: Observations } | { error: string }> {
  ending.signal.throwIfAborted();
  const began = Date.now();
  process.stdout.write(`  ${scenario.name} ... `);
  try {
    const seen = await scenario.play(lab);
    await lab.removePods();
    return { seen };
  } catch (error) {
    ending.signal.throwIfAborted();
    process.stdout.write(`${errorMessage(error)} `);
    // It may have been in the middle of something: the next scenario finds kubelet as usual.
    await lab.restartKubelet().catch(() => undefined);
    await lab.removePods().catch(() => undefined);
    return { error: errorMessage(error) };
  } finally {
    process.stdout.write(`${Math.round((Date.now() - began) / 1000)} s\n`);
  }
}

function writeRecording(lab: Lab, wanted: Play): void {
  const { kubelet, runtime } = versions(wanted);
  const containerd = runtime.replace('containerd ', '');
  const recording: Recording = { kubelet, containerd, calls: lab.recordedCalls };
  const file = path.join(wanted.report, recordingFile);
  // A line for each call.
  const lines = recording.calls.map((call) => JSON.stringify(call)).join(',\n');
  const head = JSON.stringify({ kubelet, containerd }).slice(0, -1);
  writeFileSync(file, `${head},"calls":[\n${lines}\n]}\n`);
}

function versions({ kubelet, docker }: Play): Played['versions'] {
  const version = (program: string): string =>
    /\d+\.\d+\.\d+[^\s,]*/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0] ??
    '?';
  return {
    kubelet: version(kubelet),
    runtime: docker ? `Docker Engine ${version('dockerd')}` : `containerd ${version('containerd')}`,
    runc: version('runc'),
    kernel: release(),
  };
}

if (require.main === module) {
  play(JSON.parse(process.argv[2] ?? '') as Play).catch((error: unknown) => {
    if (!ending.signal.aborted) process.stderr.write(`${errorMessage(error)}\n`);
    process.exitCode = 1;
  });
}
