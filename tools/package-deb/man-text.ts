/** Pieces of manual pages, in the macros of man(7). */

/** A text in which nothing has a meaning for troff. */
export const plain = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', "'")
    .replaceAll('…', '...')
    .replaceAll(/[^\x20-\x7e\n]/g, (sign) => `\\[u${hex(sign)}]`)
    .replaceAll(/^(?=[.'])/gm, '\\&');

const hex = (sign: string): string =>
  (sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');

/** An argument of a macro. */
const quoted = (text: string): string => `"${plain(text).replaceAll('"', '\\(dq')}"`;

/** The first line of a page. `date` is a day, as in 2026-11-29. */
export const title = (
  name: string,
  section: number,
  { version, date }: { readonly version: string; readonly date: string },
): string =>
  `.TH ${quoted(name.toUpperCase())} ${section} ${quoted(date)} ${quoted(`Stowage ${version}`)}`;

export const heading = (text: string): string => `.SH ${quoted(text.toUpperCase())}`;
export const subHeading = (text: string): string => `.SS ${quoted(text)}`;
export const paragraph = (text: string): string => `.PP\n${plain(text)}`;
export const bold = (text: string): string => `.B ${quoted(text)}`;

/** A term with what it means, in one paragraph or more. */
export const entry = (term: string, ...texts: readonly string[]): string =>
  [`.TP\n.B ${quoted(term)}`, texts.map(plain).join('\n.IP\n')].join('\n');

/** Lines that stay as they are. */
export const verbatim = (lines: readonly string[]): string =>
  ['.PP', '.RS 4', '.nf', ...lines.map(plain), '.fi', '.RE'].join('\n');

/** Names of other pages, as in gc-worker(8). */
export const seeAlso = (names: readonly string[]): string =>
  [
    heading('See also'),
    ...names.map((name, index) => {
      const [, page = name, section = ''] = /^(.*)(\(\d\))$/.exec(name) ?? [];
      return `.BR ${plain(page)} ${section}${index < names.length - 1 ? ',' : ''}`;
    }),
  ].join('\n');
