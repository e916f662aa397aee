import { readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(__dirname, '..');
const page = readFileSync(path.join(root, 'docs/coordination.md'), 'utf8');

/** The tests that docs/coordination.md names: under a line with a link to their file, in quotes. */
function namedTests(): [file: string, test: string][] {
  const found: [string, string][] = [];
  let file: string | undefined;
  for (const line of page.split('\n')) {
    const link = /^- \[[^\]]*\]\(\.\.\/(\S+\.spec\.ts)\)/.exec(line);
    if (link != null) file = link[1];
    else if (!line.startsWith('  ')) file = undefined;
    else if (file !== undefined) {
      for (const [, name = ''] of line.matchAll(/"([^"]+)"/g)) found.push([file, name]);
    }
  }
  return found;
}

describe('tests that docs/coordination.md names', () => {
  it('are found on the page', () => {
    expect(namedTests().length).toBeGreaterThan(40);
  });

  it.each(namedTests())('%s has "%s"', (file, name) => {
    const source = readFileSync(path.join(root, file), 'utf8');
    expect(source.includes(`'${name}'`)).toBe(true);
  });
});
