import { cleanText } from './clean-text';

/** How a cell looks where there are colours. */
export type Tone = 'good' | 'warning' | 'bad' | 'dim' | 'strong';

export type Cell = string | { readonly text: string; readonly tone: Tone };

export interface Column {
  readonly title: string;
  /** Only with `-o wide`. */
  readonly isWide?: boolean;
  readonly align?: 'left' | 'right';
}

/** Rows under titles. */
export interface Table {
  /** A line above it. */
  readonly heading?: string;
  readonly columns: readonly Column[];
  /** One cell for each column, those of `-o wide` too. */
  readonly rows: readonly (readonly Cell[])[];
  /** What to write where there is no row; absent: nothing. */
  readonly empty?: string;
}

/** Paints a text; the text itself where there are no colours. */
export type Paint = (text: string, tone: Tone) => string;

const textOf = (cell: Cell): string => cleanText(typeof cell === 'string' ? cell : cell.text);

/** The lines of a table. What is in a cell cannot leave it: control characters are written out. */
export function tableLines(
  table: Table,
  { isWide, paint }: { isWide: boolean; paint: Paint },
): string[] {
  const { heading, rows, empty } = table;
  const above = heading === undefined ? [] : [paint(cleanText(heading), 'strong')];
  if (rows.length === 0) return empty === undefined ? [] : [...above, empty];
  const shown = table.columns
    .map((column, index) => ({ ...column, index }))
    .filter((column) => isWide || column.isWide !== true);
  const widths = shown.map(({ title, index }) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[index] ?? '').length)),
  );
  const line = (cell: (index: number) => Cell): string =>
    shown
      .map(({ align, index }, place) => {
        const value = cell(index);
        const text = textOf(value);
        const space = ' '.repeat((widths[place] ?? 0) - text.length);
        const painted = typeof value === 'string' ? text : paint(text, value.tone);
        return align === 'right' ? `${space}${painted}` : `${painted}${space}`;
      })
      .join('  ')
      .trimEnd();
  return [
    ...above,
    line((index) => ({ text: table.columns[index]?.title ?? '', tone: 'dim' })),
    ...rows.map((row) => line((index) => row[index] ?? '')),
  ];
}
