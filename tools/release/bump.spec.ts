import { readFileSync } from 'node:fs';
import path from 'node:path';
import { bumpOf } from './bump';
import { project } from './sources';

it.each([
  ['nothing', '1.2.3', [], undefined],
  [
    'what users do not see',
    '1.2.3',
    ['docs: a page', 'test: more', 'chore(deps): newer'],
    undefined,
  ],
  ['no Conventional Commit', '1.2.3', ['Merge branch', 'feature: none', 'fix it'], undefined],
  ['a fix', '1.2.3', ['fix: one', 'docs: a page'], 'patch'],
  ['less time', '1.2.3', ['perf(cri-endpoint): less garbage'], 'patch'],
  [
    'a feature of one app, between fixes',
    '1.2.3',
    ['fix: a', 'feat(gc-worker): b', 'fix: c'],
    'minor',
  ],
  ['a break', '1.2.3', ['fix: a', 'feat(deploy)!: b'], 'major'],
  ['a break in a footer', '1.2.3', ['fix: a\n\nText.\n\nBREAKING CHANGE: b\n'], 'major'],
  ['a break before 1.0.0', '0.1.0', ['refactor!: a'], 'minor'],
  ['a feature before 1.0.0', '0.1.0', ['feat: a'], 'minor'],
] as const)('%s', (_what, version, messages, bump) => {
  expect(bumpOf(messages, version)).toBe(bump);
});

it('is not made smaller by Nx before 1.0.0', () => {
  const nx = JSON.parse(readFileSync(path.join(project, 'nx.json'), 'utf8')) as {
    release: { version: object };
  };
  expect(nx.release.version).toEqual({ adjustSemverBumpsForZeroMajorVersion: false });
});
