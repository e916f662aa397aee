import * as z from 'zod';
import type { CheckedInput, CommandDefinition } from './define-command';

/** What is wrong with an input. No value of it is quoted: it may be a credential. */
export interface InputProblem {
  /** Path of the field, `request` for the input as a whole. */
  readonly field: string;
  readonly problem: string;
  /** A key that does not exist. It may be a secret in the wrong place: see {@link isFieldName}. */
  readonly unknownKey?: string;
}

/** Checks an input and fills in defaults. */
export function checkInput<C extends CommandDefinition>(
  { input: schema }: C,
  value: unknown,
): { readonly input: CheckedInput<C> } | InputProblem {
  const result = schema.safeParse(value);
  if (result.success) return { input: result.data as CheckedInput<C> };
  const [issue] = result.error.issues;
  const at = issue?.path.join('.') ?? '';
  const field = at === '' ? 'request' : at;
  if (issue?.code !== 'unrecognized_keys') {
    // Zod's text says what is allowed and quotes no value.
    return { field, problem: issue?.message ?? 'not valid' };
  }
  const known = keysAt(schema, issue.path);
  const allowed = known.length === 0 ? '' : `; allowed: ${known.join(', ')}`;
  return { field, problem: `unknown key${allowed}`, unknownKey: issue.keys[0] ?? '' };
}

/**
 * Whether a key looks like the name of a field. Anything else may be a value, a password for one.
 */
export const isFieldName = (key: string): boolean => /^[a-z][A-Za-z]{0,31}$/.test(key);

/** Keys that an object of the input may have; empty where the schema does not say. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  const object = schema instanceof z.ZodOptional ? schema.unwrap() : schema;
  if (!(object instanceof z.ZodObject)) return [];
  const [next, ...rest] = path;
  const shape = object.shape as Record<PropertyKey, unknown>;
  return next === undefined ? Object.keys(shape) : keysAt(shape[next], rest);
}
