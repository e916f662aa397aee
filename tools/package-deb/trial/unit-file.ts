/** A unit file: sections, and in each the values of every key in the order of the file. */
export class UnitFile {
  readonly #values = new Map<string, string[]>();

  constructor(text: string) {
    let section = '';
    for (const line of text.split('\n')) {
      const [, head] = /^\[(\w+)\]$/.exec(line) ?? [];
      if (head !== undefined) section = head;
      const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
      if (key === '') continue;
      const name = `${section}.${key}`;
      // systemd: an empty value forgets those before it.
      if (value === '') this.#values.set(name, []);
      else this.#values.set(name, [...(this.#values.get(name) ?? []), value]);
    }
  }

  /** The last value of `Section.Key`. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  /** All words of all values of `Section.Key`. */
  words(name: string): string[] {
    return (this.#values.get(name) ?? []).flatMap((value) => value.split(/\s+/));
  }

  isOn(name: string): boolean {
    return this.text(name) === 'yes';
  }
}
