import { cleanLines, cleanText, isClean, type Table, type Tone } from '@stowage/status-view';
import { tableLines, type Paint } from './table';

export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml';

/** What a command found: for programs, and for people. */
export interface View {
  readonly data: unknown;
  readonly tables: readonly Table[];
  /** Lines below the tables. */
  readonly notes?: readonly string[];
}

/** A stream that text goes to. */
export interface TextStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const codes: Readonly<Record<Tone, string>> = {
  good: '32',
  warning: '33',
  bad: '31',
  dim: '2',
  strong: '1',
};

/** Where results and messages go: stdout and stderr. */
export class Output {
  readonly #colors: boolean;
  #isFramed = false;

  constructor(
    private readonly options: {
      readonly format: OutputFormat;
      readonly stdout: TextStream;
      readonly stderr: TextStream;
      /** Colours where stdout is a terminal. */
      readonly colors: boolean;
    },
  ) {
    this.#colors = options.colors && options.stdout.isTTY === true;
  }

  get format(): OutputFormat {
    return this.options.format;
  }

  /** Whether a program reads the result: JSON or YAML. */
  get isForPrograms(): boolean {
    return this.format === 'json' || this.format === 'yaml';
  }

  /** Width of the terminal that stderr is; undefined where it is none. */
  get terminalWidth(): number | undefined {
    const { stderr } = this.options;
    return stderr.isTTY === true ? (stderr.columns ?? 80) : undefined;
  }

  readonly paint: Paint = (text, tone) =>
    this.#colors ? `\u001b[${codes[tone]}m${text}\u001b[0m` : text;

  /** Prints a result in the format that was asked for. */
  async show({ data, tables, notes = [] }: View): Promise<void> {
    if (this.isForPrograms) return this.#document(data);
    const isWide = this.format === 'wide';
    const blocks = tables
      .map((table) => tableLines(table, { isWide, paint: this.paint }))
      .filter((lines) => lines.length > 0);
    if (notes.length > 0) blocks.push(notes.map(cleanText));
    this.#print(blocks.map((lines) => lines.join('\n')).join('\n\n'));
  }

  /** Whether results may be written over: people look at a terminal. */
  get isScreen(): boolean {
    return this.options.stdout.isTTY === true && !this.isForPrograms;
  }

  /** Writes the result over the one before; what does not fit the terminal is cut off. */
  frame({ tables, notes = [] }: View): void {
    const { stdout } = this.options;
    const isWide = this.format === 'wide';
    const lines = tables.flatMap((table) => tableLines(table, { isWide, paint: this.paint }));
    const shown = [...lines, ...notes.map(cleanText)].slice(0, (stdout.rows ?? 24) - 1);
    const start = this.#isFramed ? '\u001b[H' : '\u001b[2J\u001b[H';
    this.#isFramed = true;
    // Without wrapping: a longer line would push the others down.
    const text = shown.map((line) => `${line}\u001b[K\n`).join('');
    stdout.write(`\u001b[?7l${start}${text}\u001b[J\u001b[?7h`);
  }

  /** One result of many: a line, a line of JSON, or a YAML document. */
  async item(data: unknown, line: string): Promise<void> {
    if (this.format === 'json') this.#print(cleanLines(JSON.stringify(data)));
    else if (this.format === 'yaml') this.#print(`---\n${await yamlOf(data)}`);
    else this.#print(line);
  }

  /** Prints text as it is; whoever calls has cleaned it. */
  text(text: string): void {
    this.#print(text);
  }

  /** A message beside the result. */
  note(text: string): void {
    this.options.stderr.write(`${cleanText(text)}\n`);
  }

  /** What went wrong, and what helps. */
  problem(message: string, remedy?: string): void {
    this.note(`stowctl: ${message}`);
    if (remedy !== undefined) this.note(`  ${remedy}`);
  }

  /** Writes over the line of the terminal that stderr is; an empty text removes it. */
  status(text: string): void {
    const width = this.terminalWidth;
    if (width === undefined) return;
    this.options.stderr.write(`\r\u001b[K${cleanText(text).slice(0, width - 1)}`);
  }

  async #document(data: unknown): Promise<void> {
    const text =
      this.format === 'yaml' ? await yamlOf(data) : cleanLines(JSON.stringify(data, null, 2));
    this.#print(text);
  }

  #print(text: string): void {
    if (text !== '') this.options.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }
}

async function yamlOf(data: unknown): Promise<string> {
  const { Document, Scalar, visit } = await import('yaml');
  // As JSON has it: without what is undefined.
  const document = new Document(JSON.parse(JSON.stringify(data)) as unknown, {
    aliasDuplicateObjects: false,
  });
  visit(document, {
    Scalar: (_key, node) => {
      if (typeof node.value === 'string' && !isClean(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return cleanLines(document.toString({ lineWidth: 0 }));
}
