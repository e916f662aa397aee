/** A command as a shell would run it, as far as its text says. */
export interface SimpleCommand {
  /** `NAME=value` before the program. */
  readonly assignments: Readonly<Record<string, string>>;
  /** The program and its arguments, without quotes; what a shell would put in stands as `$…`. */
  readonly words: readonly string[];
  /** Files that it reads or writes by redirection. */
  readonly files: readonly string[];
}

/** Where a word ends, and a command. */
const operators = ['&&', '||', ';;', '|', '&', ';', '\n', '(', ')'];
const keywords = ['!', '{', '}', 'if', 'then', 'else', 'fi', 'do', 'done', 'while', 'until'];

/**
 * The simple commands of a text in the language of the shell, also those in `$(…)`, in their order.
 * Knows quotes, comments, continued lines, pipes, lists and redirections; here-documents and
 * functions are refused.
 */
export function commandsIn(script: string): SimpleCommand[] {
  return new Reader(script).commands();
}

class Reader {
  #at = 0;
  readonly #found: SimpleCommand[] = [];

  constructor(private readonly text: string) {}

  commands(): SimpleCommand[] {
    let words: string[] = [];
    let files: string[] = [];
    const end = (): void => {
      while (words[0] !== undefined && keywords.includes(words[0])) words.shift();
      const assigned: [string, string][] = [];
      for (;;) {
        const [, name, value = ''] = /^([A-Za-z_]\w*)=([^]*)$/.exec(words[0] ?? '') ?? [];
        if (name === undefined) break;
        assigned.push([name, value]);
        words.shift();
      }
      if (words.length + files.length + assigned.length > 0) {
        this.#found.push({ assignments: Object.fromEntries(assigned), words, files });
      }
      [words, files] = [[], []];
    };
    while (this.#at < this.text.length) {
      const operator = operators.find((one) => this.text.startsWith(one, this.#at));
      if (operator !== undefined) {
        this.#at += operator.length;
        end();
      } else if (/[ \t]/.test(this.#now)) this.#at += 1;
      else if (this.text.startsWith('\\\n', this.#at)) this.#at += 2;
      else if (this.#now === '#') this.#skipLine();
      else if (/^\d?[<>]/.test(this.text.slice(this.#at, this.#at + 2))) {
        const file = this.#redirection();
        if (file !== undefined) files.push(file);
      } else words.push(this.#word());
    }
    end();
    return this.#found;
  }

  get #now(): string {
    return this.text[this.#at] ?? '';
  }

  #skipLine(): void {
    const end = this.text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.text.length : end;
  }

  /** The file behind `>` or `<`; undefined for `2>&1`. */
  #redirection(): string | undefined {
    const [sign = ''] = /^\d?(<<|>>|<|>)(&\d)?/.exec(this.text.slice(this.#at)) ?? [];
    if (sign.includes('<<')) throw new Error('here-documents are not read');
    this.#at += sign.length;
    if (/&\d$/.test(sign)) return undefined;
    while (this.#now === ' ') this.#at += 1;
    return this.#word();
  }

  #word(): string {
    let word = '';
    while (this.#at < this.text.length && !/[\s;|&()<>]/.test(this.#now)) {
      if (this.#now === "'") word += this.#until("'");
      else if (this.#now === '"') word += this.#quoted();
      else if (this.text.startsWith('$(', this.#at)) word += this.#substitution();
      else {
        if (this.#now === '\\') this.#at += 1;
        if (this.#now !== '\n') word += this.#now;
        this.#at += 1;
      }
    }
    return word;
  }

  /** What stands between the quote here and the next one. */
  #until(quote: string): string {
    const end = this.text.indexOf(quote, this.#at + 1);
    if (end < 0) throw new Error(`${quote} without its end`);
    const inside = this.text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return inside;
  }

  #quoted(): string {
    let word = '';
    this.#at += 1;
    while (this.#now !== '"') {
      if (this.#at >= this.text.length) throw new Error('" without its end');
      if (this.text.startsWith('$(', this.#at)) word += this.#substitution();
      else {
        if (/^\\["\\$`]/.test(this.text.slice(this.#at, this.#at + 2))) this.#at += 1;
        word += this.#now;
        this.#at += 1;
      }
    }
    this.#at += 1;
    return word;
  }

  /** Its commands are found too; in the word it stands as `$()`. */
  #substitution(): string {
    let depth = 0;
    const start = this.#at + 2;
    for (let end = this.#at + 1; end < this.text.length; end += 1) {
      if (this.text[end] === '(') depth += 1;
      if (this.text[end] === ')') depth -= 1;
      if (depth > 0) continue;
      this.#found.push(...commandsIn(this.text.slice(start, end)));
      this.#at = end + 1;
      return '$()';
    }
    throw new Error('$( without its end');
  }
}
