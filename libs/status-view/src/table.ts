/** How a cell looks where there are colours. */
export type Tone = 'good' | 'warning' | 'bad' | 'dim' | 'strong';

export type Cell = string | { readonly text: string; readonly tone: Tone };

export interface Column {
  readonly title: string;
  /** Only where there is room for it: with `-o wide`, say. */
  readonly isWide?: boolean;
  readonly align?: 'left' | 'right';
}

/** Rows under titles. */
export interface Table {
  /** A line above it. */
  readonly heading?: string;
  readonly columns: readonly Column[];
  /** One cell for each column, the wide ones too. */
  readonly rows: readonly (readonly Cell[])[];
  /** What to write where there is no row; absent: nothing. */
  readonly empty?: string;
}

/** The text of a cell, as it came: whoever shows it makes it safe. */
export const cellText = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);
