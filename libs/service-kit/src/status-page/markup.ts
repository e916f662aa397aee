import { cleanText } from '@stowage/status-view';

/**
 * Text that is HTML already: made by {@link markup} alone, so that what came from outside is
 * escaped.
 */
export class Html {
  constructor(readonly source: string) {}
}

type Part = Html | readonly Html[] | string | number;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for elements and quoted attributes; what could turn it round or hide it is written out. */
const escaped = (text: string): string =>
  cleanText(text).replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');

function sourceOf(part: Part): string {
  if (part instanceof Html) return part.source;
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part));
  return part.map(({ source }) => source).join('');
}

/** HTML with values in it, which are escaped unless they are {@link Html}. */
export function markup(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(
    strings.map((text, at) => (at === 0 ? text : sourceOf(parts[at - 1] ?? '') + text)).join(''),
  );
}
