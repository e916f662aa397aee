import type { RegistryAuth } from './credential';

const redacted = '[redacted]';

/** Shorter ones stand in too many words to be looked for. */
export const minSecretLength = 4;

/** Every form in which a credential's secrets show in the texts of others, longest first. */
export function secretTexts(auth: RegistryAuth): string[] {
  const { username = '', password = '', auth: basic = '', identityToken, registryToken } = auth;
  const given = Buffer.from(basic, 'base64').toString('utf8');
  const plain = [
    password,
    given.slice(given.indexOf(':') + 1),
    identityToken,
    registryToken,
  ].filter((secret): secret is string => secret != null && secret.length >= minSecretLength);
  const pairs = [`${username}:${password}`, ...(basic === '' ? [] : [given])];
  const encoded = password === '' && basic === '' ? [] : pairs.flatMap(base64Forms);
  const forms = [basic, ...encoded, ...plain.flatMap(quotedForms)];
  return [...new Set(forms.filter((text) => text.length >= minSecretLength))].sort(
    (a, b) => b.length - a.length,
  );
}

const base64Forms = (text: string): string[] => {
  const padded = Buffer.from(text).toString('base64');
  return [padded, padded.replace(/=+$/, ''), Buffer.from(text).toString('base64url')];
};

/** As it is, in a URL, in a form, and between the quotation marks of JSON and Go. */
const quotedForms = (text: string): string[] => {
  const inUrl = encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'));
  return [text, inUrl, inUrl.replaceAll('%20', '+'), JSON.stringify(text).slice(1, -1)];
};

/**
 * A text of a runtime, registry or program without these secrets, and without what looks like a
 * credential wherever it stands: what follows the word Basic or Bearer, has 8 characters or more
 * and is neither a word nor a challenge (`realm="…"`); the password in the user information of a
 * URL; values in a URL's query whose name holds token, sig, secret, password, credential or key.
 * All else stays: image names, digests, hosts, paths, statuses.
 */
export function redactSecrets(text: string, secrets: readonly string[]): string {
  let rest = text;
  for (const secret of secrets) if (secret !== '') rest = rest.replaceAll(secret, redacted);
  return rest
    .replaceAll(
      /\b(Basic|Bearer)\s+(?!\w+=\\?["'])(?=[^\s"']*[\d=+/_])[\w.~+/=-]{8,}/gi,
      `$1 ${redacted}`,
    )
    .replaceAll(/(:\/\/[^\s/@:"']*):[^\s/@"']+@/g, `$1:${redacted}@`)
    .replaceAll(
      /([?&][\w.-]{0,64}(?:token|sig|secret|password|credential|key)[\w.-]{0,64}=)[^&\s"']+/gi,
      `$1${redacted}`,
    );
}

/**
 * `redactSecrets` for what a program that handles credentials says: also without what follows the
 * name of a secret.
 */
export function redactOutput(text: string, secrets: readonly string[]): string {
  return redactSecrets(text, secrets)
    .replaceAll(
      /((?:password|passwd|secret)"?\s*[=:]\s*"?|token(?:"\s*:\s*"|=))(?!\[redacted)[^\s"',;&}]+/gi,
      `$1${redacted}`,
    )
    .replaceAll(/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, redacted);
}

/** Values of an answer that is not used but whose secrets a program may repeat elsewhere. */
export function secretsOfAnswer(json: string): string[] {
  const fields = json.matchAll(/"(?:secret|password|\w*token)"\s*:\s*"((?:[^"\\]|\\.)*)"/gi);
  return [...fields]
    .flatMap(([, value = '']) => [value, value.replaceAll(/\\(.)/g, '$1')])
    .filter((value) => value.length >= minSecretLength)
    .sort((a, b) => b.length - a.length);
}
