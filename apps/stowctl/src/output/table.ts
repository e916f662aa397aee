import { cellText, cleanText, type Cell, type Table, type Tone } from '@stowage/status-view';

/** Paints a text; the text itself where there are no colours. */
export type Paint = (text: string, tone: Tone) => string;

const textOf = (cell: Cell): string => cleanText(cellText(cell));

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
