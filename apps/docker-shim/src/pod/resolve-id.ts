import { InvalidArgumentError } from '@stowage/errors';
import { isHexIdentifier } from '@stowage/image-ref';
import type { EngineClient } from '../engine/engine-client';
import { typeLabel } from './labels';

/**
 * Ids that begin with what a caller gave: the id itself, without a question to the engine, where it
 * is complete; none where it is no id.
 *
 * @param type of the containers to look among, as their label has it.
 */
export async function idsBeginning(
  client: Pick<EngineClient, 'listContainers'>,
  type: 'podsandbox' | 'container',
  given: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<string[]> {
  if (isHexIdentifier(given)) return [given];
  if (!/^[0-9a-f]{1,63}$/.test(given)) return [];
  // Engines read their filter of ids in different ways: as the beginning of one, as a pattern.
  const listed = await client.listContainers({ label: [`${typeLabel}=${type}`] }, { signal });
  return listed.flatMap(({ Id }) => (Id?.startsWith(given) === true ? [Id] : []));
}

/**
 * The one id of several that a caller can mean; undefined for none.
 *
 * @param field of the request, for the error.
 * @throws {InvalidArgumentError} when there are several, or nothing was given.
 */
export function theOnlyId(
  field: string,
  given: string,
  ids: readonly string[],
): string | undefined {
  if (given === '') throw new InvalidArgumentError(field, given, 'an id, or its beginning');
  const different = new Set(ids);
  if (different.size <= 1) return ids[0];
  throw new InvalidArgumentError(
    field,
    given,
    `the beginning of one id alone, ${different.size} begin so`,
  );
}
