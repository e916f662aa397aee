/**
 * What the demo prints: chapters, lines, a live progress line, tables, and a list of what was
 * observed.
 */
export interface Screen {
  chapter(title: string): void;
  line(text: string): void;
  /** Rewrites one line on a terminal; elsewhere prints it when the text's `step` changes. */
  progress(text: string, step: string | number): void;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
}

export function createScreen(out: NodeJS.WriteStream): Screen {
  const bold = (text: string): string => (out.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
  const dim = (text: string): string => (out.isTTY ? `\x1b[2m${text}\x1b[0m` : text);
  let chapters = 0;
  let live = false;
  let lastStep: string | number | undefined;
  const endLive = (): void => {
    if (live) out.write('\n');
    live = false;
    lastStep = undefined;
  };
  const line = (text: string): void => {
    endLive();
    out.write(`   ${text}\n`);
  };
  return {
    chapter: (title) => {
      endLive();
      chapters++;
      out.write(`\n${bold(`${chapters}. ${title}`)}\n`);
    },
    line,
    progress: (text, step) => {
      if (out.isTTY) {
        out.write(`\r\x1b[2K   ${text}`);
        live = true;
      } else if (step !== lastStep) {
        out.write(`   ${text}\n`);
      }
      lastStep = step;
    },
    table: (head, rows) => {
      endLive();
      const widths = head.map((title, column) =>
        Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
      );
      const print = (cells: readonly string[]): string =>
        cells
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd();
      out.write(`   ${dim(print(head))}\n`);
      for (const row of rows) out.write(`   ${print(row)}\n`);
    },
  };
}

/** `[######....]` for a share of 0 to 1. */
export function bar(share: number, width = 28): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`;
}

/** Mebibytes with one decimal, from bytes. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
