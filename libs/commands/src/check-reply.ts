import type { CommandDefinition, CommandReply } from './define-command';

/**
 * Checks the result of a command, JSON as it came. Fields that the contract does not name are kept:
 * the service may be newer. The problem names the first field that does not fit, never its value.
 */
export function checkReply<C extends Pick<CommandDefinition, 'reply'>>(
  { reply: schema }: C,
  value: unknown,
): { readonly reply: CommandReply<C> } | { readonly problem: string } {
  const result = schema.safeParse(value);
  if (result.success) return { reply: value as CommandReply<C> };
  const [issue] = result.error.issues;
  const at = issue?.path.join('.') ?? '';
  return { problem: `${at === '' ? 'result' : at}: ${issue?.message ?? 'not valid'}` };
}

/** Fields of a result that fits which the contract does not name, as `images.0.colour`. */
export function undocumentedFields({ reply }: CommandDefinition, value: unknown): string[] {
  // Parsing leaves out what the schema does not name.
  return fieldsBeyond(reply.parse(value), value, '');
}

function fieldsBeyond(named: unknown, value: unknown, at: string): string[] {
  if (typeof value !== 'object' || value == null) return [];
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) => {
    const known = (named as Record<string, unknown>)[key];
    const field = at === '' ? key : `${at}.${key}`;
    return known === undefined ? [field] : fieldsBeyond(known, inner, field);
  });
}
