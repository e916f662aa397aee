/** What a terminal's output has of a stream. */
export interface ScreenStream {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const escape = '\u001b[';
/** The other screen, without cursor and without wrapped lines; and back. */
const enter = `${escape}?1049h${escape}?25l${escape}?7l${escape}2J`;
const leave = `${escape}?7h${escape}?25h${escape}?1049l`;

/**
 * A terminal that is drawn as a whole. Only lines that have changed are written, so none flickers.
 */
export class Screen {
  #shown: readonly string[] = [];
  #isOpen = false;

  constructor(private readonly stream: ScreenStream) {}

  get size(): { columns: number; rows: number } {
    return { columns: this.stream.columns ?? 80, rows: this.stream.rows ?? 24 };
  }

  open(): void {
    this.#isOpen = true;
    this.#shown = [];
    this.stream.write(enter);
  }

  /** Each line as wide as the terminal. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return;
    const text = lines
      .map((line, row) => (line === this.#shown[row] ? '' : `${escape}${row + 1};1H${line}`))
      .join('');
    this.#shown = lines;
    if (text !== '') this.stream.write(text);
  }

  /** After the terminal has another size, nothing of what it shows counts. */
  clear(): void {
    if (!this.#isOpen) return;
    this.#shown = [];
    this.stream.write(`${escape}2J`);
  }

  /** Gives the terminal back as it was. May be called twice. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.stream.write(leave);
  }
}
