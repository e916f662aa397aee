import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { appNames, releasedApps } from './app-folders';
import { pages, prose, root } from './doc-blocks/markdown';

interface Link {
  readonly page: string;
  readonly text: string;
  /** Relative to the root; a folder stands for its README.md. */
  readonly target: string;
  readonly anchor: string;
}

const linksOf = (page: string): Link[] =>
  [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, text = '']) => text)
    .filter((text) => !/^[a-z]+:/.test(text))
    .map((text) => {
      const [file = '', anchor = ''] = text.split('#');
      const beside = file === '' ? page : path.join(path.dirname(page), file);
      const readme = path.join(beside, 'README.md');
      const target = existsSync(path.join(root, readme)) ? readme : path.normalize(beside);
      return { page, text, target, anchor };
    });

/** Anchors of the headings of a page, as GitHub makes them. */
function anchorsOf(page: string): string[] {
  const seen = new Map<string, number>();
  return [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const anchor = words.replaceAll(/[^\p{L}\p{N}\- _]/gu, '').replaceAll(' ', '-');
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  });
}

const links = pages.flatMap(linksOf);

it('links of pages lead to files that are there, and to headings in them', () => {
  const broken = links.filter(({ target, anchor }) => {
    const file = path.join(root, target);
    if (!existsSync(file)) return true;
    if (anchor === '' || statSync(file).isDirectory() || !target.endsWith('.md')) return false;
    return !anchorsOf(target).includes(anchor);
  });
  expect(broken.map(({ page, text }) => `${page}: ${text}`)).toEqual([]);
});

it('every page is reached from README.md, but for those of services that are not released', () => {
  const reached = new Set<string>();
  const follow = (page: string): void => {
    if (reached.has(page)) return;
    reached.add(page);
    for (const { target } of links.filter((link) => link.page === page)) follow(target);
  };
  follow('README.md');
  const unreleased = appNames.filter((app) => !releasedApps.includes(app));
  const isExpected = (page: string) => !unreleased.some((app) => page.startsWith(`apps/${app}/`));
  expect(pages.filter((page) => isExpected(page) && !reached.has(page))).toEqual([]);
});
