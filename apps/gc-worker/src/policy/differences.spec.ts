import { readFileSync } from 'node:fs';
import path from 'node:path';
import { kubeletDifferences, stowageDifferences, type KubeletDifferences } from './differences';

const page = readFileSync(path.join(__dirname, '../../../../docs/kubelet-differences.md'), 'utf8');
const names = Object.keys(stowageDifferences) as (keyof KubeletDifferences)[];

describe('docs/kubelet-differences.md', () => {
  it('lists every option with its default and kubelet’s value', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` +\| `([\w-]+)` +\| `([\w-]+)` +\|$/gm)].map(
      ([, name, ours, kubelet]) => [name, ours, kubelet],
    );
    expect(rows).toEqual(
      names.map((name) => [name, stowageDifferences[name], kubeletDifferences[name]]),
    );
  });

  it('gives a reason for each', () => {
    const sections = [...page.matchAll(/^## (\w+)\n\n\S/gm)].map(([, name]) => name);
    expect(sections).toEqual(expect.arrayContaining(names));
  });
});
