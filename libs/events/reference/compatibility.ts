import type { JsonSchema } from './message-schema';

/** Keywords that say nothing about which documents are valid. */
const annotations = new Set(['$schema', 'title', 'description', 'examples']);

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value != null && !Array.isArray(value);

const shown = (value: unknown) => (value === undefined ? 'absent' : JSON.stringify(value));

const sorted = (names: readonly string[] | undefined) => [...(names ?? [])].sort();

/**
 * What in `current` breaks those who build on `released`: one line a finding, none when only
 * optional fields were added or texts changed. Stricter than JSON Schema needs, on purpose: a
 * released word list, pattern or bound is kept as it is, because old consumers read new messages
 * and new consumers read old ones from the stream.
 */
export function breakingChanges(
  released: JsonSchema,
  current: JsonSchema,
  path = 'data',
): string[] {
  const findings: string[] = [];
  const keywords = new Set([...Object.keys(released), ...Object.keys(current)]);
  for (const keyword of keywords) {
    if (annotations.has(keyword) || keyword === 'properties' || keyword === 'required') continue;
    const [before, now] = [released[keyword], current[keyword]];
    if (isSchema(before) && isSchema(now)) {
      findings.push(...breakingChanges(before, now, `${path}.${keyword}`));
    } else if (JSON.stringify(before) !== JSON.stringify(now)) {
      findings.push(`${path}: ${keyword} was ${shown(before)}, is ${shown(now)}`);
    }
  }
  for (const [name, before] of Object.entries(released.properties ?? {})) {
    const now = current.properties?.[name];
    if (now === undefined) findings.push(`${path}.${name}: removed`);
    else findings.push(...breakingChanges(before, now, `${path}.${name}`));
  }
  const [requiredBefore, requiredNow] = [sorted(released.required), sorted(current.required)];
  for (const name of requiredBefore) {
    if (!requiredNow.includes(name)) findings.push(`${path}.${name}: was required, is optional`);
  }
  for (const name of requiredNow) {
    if (!requiredBefore.includes(name)) {
      const isNew = released.properties?.[name] === undefined;
      findings.push(`${path}.${name}: ${isNew ? 'new and required' : 'was optional, is required'}`);
    }
  }
  return findings;
}
