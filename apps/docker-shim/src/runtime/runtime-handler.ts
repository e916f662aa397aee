import { InvalidArgumentError } from '@stowage/errors';
import type { EngineInfo } from '../engine/engine-client';

/** Both are the engine's default runtime. */
const ofTheDefault = ['', 'docker'];

/**
 * Names of runtime handlers that calls may ask for: the default's, and one for each runtime of the
 * engine.
 */
export const handlerNames = (info: EngineInfo | undefined): string[] => [
  ...new Set([...ofTheDefault, ...Object.keys(info?.Runtimes ?? {})]),
];

/** @throws {InvalidArgumentError} when the engine has no such runtime. */
export function checkHandler(handler: string, info: EngineInfo): void {
  const known = handlerNames(info);
  if (known.includes(handler)) return;
  const names = known.filter((name) => name !== '').join(', ');
  throw new InvalidArgumentError('runtime_handler', handler, `${names}, or empty for the default`);
}
