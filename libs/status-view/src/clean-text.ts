/*
 * Names and labels of images come from whoever built them: what a terminal would obey, or what
 * changes the order in which text is shown, is written out.
 */

/** Control characters (C0, DEL, C1), line separators, and what is invisible or turns text round. */
const unsafe = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const escaped = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** The text on one line, with control characters as `\u001b`. */
export const cleanText = (text: string): string => text.replaceAll(unsafe, escaped);

/** JSON or double-quoted YAML as it was made, with what these leave as it is escaped. */
export const cleanLines = (text: string): string =>
  text.replaceAll(unsafe, (character) => (character === '\n' ? character : escaped(character)));

/** Whether there is anything to escape. */
export const isClean = (text: string): boolean => text.search(unsafe) < 0;
