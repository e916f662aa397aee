import type { KeyValue } from '@stowage/cri-proto';
import { InvalidArgumentError } from '@stowage/errors';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The engine's `Env`, in the same order.
 *
 * @throws {InvalidArgumentError} naming the key; values appear in no error.
 */
export const environment = (variables: readonly KeyValue[]): string[] =>
  variables.map(({ key, value }) => {
    if (key === '' || /[=\0]/.test(key)) {
      throw new InvalidArgumentError('envs.key', key, 'a name without = and NUL');
    }
    return `${key}=${text(key, value)}`;
  });

function text(key: string, value: Uint8Array): string {
  const refused = (what: string) => new InvalidArgumentError(`envs.${key}`, what, 'UTF-8 text');
  let decoded: string;
  try {
    decoded = utf8.decode(value);
  } catch {
    throw refused('bytes that are not UTF-8');
  }
  if (decoded.includes('\0')) throw refused('text with NUL');
  return decoded;
}
