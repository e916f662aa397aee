import { type Cell, cleanText } from '@stowage/status-view';
import type { Paint } from '../output/table';

/** One line of the screen: texts side by side. */
export type Line = readonly Cell[];

export const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);

/** Columns of a character; what may be wide counts as wide, so that no line is too long. */
const columnsOf = (character: string): number =>
  (character.codePointAt(0) ?? 0) >= 0x1100 ? 2 : 1;

/** The beginning of a text that fits, and its columns. */
function clipped(text: string, columns: number): { text: string; columns: number } {
  let used = 0;
  let end = 0;
  for (const character of text) {
    const next = used + columnsOf(character);
    if (next > columns) break;
    used = next;
    end += character.length;
  }
  return { text: text.slice(0, end), columns: used };
}

/**
 * The line as the terminal gets it: exactly as wide as the screen, so that nothing of another line
 * is left, and with control characters written out, whatever is in it.
 */
export function paintLine(line: Line, columns: number, paint: Paint): string {
  let left = columns;
  const parts = line.map((cell) => {
    const part = clipped(cleanText(textOf(cell)), left);
    left -= part.columns;
    return typeof cell === 'string' || part.text === '' ? part.text : paint(part.text, cell.tone);
  });
  return parts.join('') + ' '.repeat(left);
}

/** The end of a text, which says more than its beginning where it is a path. */
export const endOf = (text: string, length: number): string =>
  text.length <= length ? text.padEnd(length) : `..${text.slice(text.length - length + 2)}`;

/** The beginning of a text. */
export const beginOf = (text: string, length: number): string =>
  text.length <= length ? text.padEnd(length) : `${text.slice(0, length - 2)}..`;
