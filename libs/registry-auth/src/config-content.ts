import { isField, JsonError, checkedJson, jsonMembers, type JsonText } from './json-object';

/** What a file or a data key should hold. */
export type ConfigFormat = 'config.json' | '.dockercfg';

const expected: Readonly<Record<ConfigFormat, string>> = {
  'config.json': '{"auths": {"REGISTRY": {"auth": …}}}',
  '.dockercfg': '{"REGISTRY": {"auth": …}}',
};

/** Fields by which an entry for a registry is known. */
const entryFields = ['auth', 'username', 'password', 'identitytoken'];

/**
 * What a text is that was put where a docker config should be, and what is expected there, without
 * anything of its content: a whole Secret object, base64 that was not decoded, or the content of
 * the other format. Undefined when it is none of these.
 */
export function mistakenContent(text: string, format: ConfigFormat): string | undefined {
  const wanted = `expected is ${expected[format]}`;
  const members = membersOf(text);
  if (members === undefined) {
    if (/^kind:\s*["']?(?:Secret|List)\b/m.test(text)) return secretObject('in YAML', wanted);
    return isEncodedObject(text) ? `it is base64 of a JSON object; ${wanted}, decoded` : undefined;
  }
  const kind = members.find(([key]) => key === 'kind')?.[1];
  if (kind === '"Secret"' || kind === '"List"') return secretObject('in JSON', wanted);
  const auths = members.find(([key]) => isField(key, 'auths'))?.[1];
  if (format === '.dockercfg') {
    return auths !== undefined && !isEntry(auths)
      ? `it is the content of a config.json, with "auths"; ${wanted}, or this content under .dockerconfigjson`
      : undefined;
  }
  return auths === undefined && members.some(([, value]) => isEntry(value))
    ? `it is the content of a .dockercfg, with registries at the top; ${wanted}, or this content under .dockercfg`
    : undefined;
}

/** Whether a text that decodes as config.json has no `auths`, not even empty ones. */
export const hasNoAuths = (text: string): boolean =>
  membersOf(text)?.some(([key]) => isField(key, 'auths')) !== true;

const secretObject = (how: string, wanted: string): string =>
  `it is a whole Secret object ${how}; ${wanted}, the decoded value of one of its data keys`;

function membersOf(text: string): [string, JsonText][] | undefined {
  try {
    return jsonMembers(checkedJson(text)) ?? [];
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return undefined;
  }
}

function isEntry(json: JsonText): boolean {
  if (!json.startsWith('{')) return false;
  return (jsonMembers(json) ?? []).some(
    ([key, value]) => !value.startsWith('{') && entryFields.some((field) => isField(key, field)),
  );
}

function isEncodedObject(text: string): boolean {
  if (!/^[A-Za-z0-9+/_-]{8,}={0,2}$/.test(text.replace(/\s+/g, ''))) return false;
  return Buffer.from(text, 'base64').toString('latin1').trimStart().startsWith('{');
}
