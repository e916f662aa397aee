import path from 'node:path';
import { findProgram } from './run-program';
import type { CrioOptions, OciRuntime } from './types';

/** The runtime that stacks are started with. */
export type TestRuntime =
  { readonly name: 'containerd' } | ({ readonly name: 'cri-o' } & CrioProgram);

/** An installed CRI-O, and how it is set up where a test asks for nothing else. */
export interface CrioProgram {
  /** Absolute path of the program. */
  readonly crio: string;
  readonly events: boolean;
  readonly ociRuntime: OciRuntime;
}

const ociRuntimes: readonly OciRuntime[] = ['runc', 'crun'];

/**
 * The runtime that the environment names: containerd, unless `STOWAGE_TEST_CRIO` is the absolute
 * path of a CRI-O. Then `STOWAGE_TEST_OCI_RUNTIME` (`runc`, `crun`; default `runc`) says what
 * starts its containers and `STOWAGE_TEST_CRIO_EVENTS` (`on`, `off`; default `on`) whether it
 * serves GetContainerEvents.
 *
 * @throws when a variable has another value, or the program is not there.
 */
export function testRuntime(env: NodeJS.ProcessEnv = process.env): TestRuntime {
  const crio = env.STOWAGE_TEST_CRIO ?? '';
  if (crio === '') return { name: 'containerd' };
  if (!path.isAbsolute(crio) || findProgram(crio) === undefined) {
    throw new Error(`STOWAGE_TEST_CRIO is ${crio}, must be the absolute path of a CRI-O`);
  }
  return {
    name: 'cri-o',
    crio,
    ociRuntime: oneOf(env, 'STOWAGE_TEST_OCI_RUNTIME', ociRuntimes),
    events: oneOf(env, 'STOWAGE_TEST_CRIO_EVENTS', ['on', 'off']) === 'on',
  };
}

/** The CRI-O that the environment names, set up as a test asks for. */
export function crioProgram(options: CrioOptions): CrioProgram {
  const runtime = testRuntime();
  if (runtime.name !== 'cri-o') {
    throw new Error('this test runs on CRI-O alone: set STOWAGE_TEST_CRIO to the path of one');
  }
  const { events = runtime.events, ociRuntime = runtime.ociRuntime } = options;
  return { ...runtime, events, ociRuntime };
}

/** A variable with one of these values; absent or empty it is the first. */
function oneOf<T extends string>(env: NodeJS.ProcessEnv, name: string, allowed: readonly T[]): T {
  const value = env[name] ?? '';
  const found = value === '' ? allowed[0] : allowed.find((one) => one === value);
  if (found === undefined) {
    throw new Error(`${name} is ${value}, must be ${allowed.join(' or ')}`);
  }
  return found;
}

/**
 * `it` for what holds on one runtime only. On another one it is skipped, with the reason in its
 * title; `npm test` and the matrix list it. Prefer to ask {@link Stack.runtime} inside of a test
 * where only a part of it depends on the runtime.
 *
 * @param reason one clause: what this runtime has that another has not.
 */
export function testOn(runtime: TestRuntime['name'], reason: string): jest.It {
  if (testRuntime().name === runtime) return it;
  const why = ` (only on ${runtime}: ${reason})`;
  const skip = (title: string, body: jest.ProvidesCallback) => it.skip(title + why, body);
  const each =
    (cases: readonly unknown[]) =>
    (title: string, body: (...args: unknown[]) => unknown): void =>
      it.skip.each(cases)(title + why, body);
  return Object.assign(skip, { each }) as unknown as jest.It;
}
