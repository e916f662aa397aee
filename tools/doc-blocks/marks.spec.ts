import { blocksIn } from './markdown';
import { markOf } from './marks';

const page = [
  '# Page',
  '',
  '<!-- not run (minutes): a bench,',
  '     of many runs -->',
  '',
  '```sh',
  'sleep 1000',
  '```',
  '',
  '1. In a list',
  '',
  '   ```console',
  '   $ stowctl status',
  '   NODE',
  '   ```',
  '',
].join('\n');

it('blocks have their language, their place, their text and the comment before them', () => {
  const [first, second, ...more] = blocksIn(page, 'page.md');
  expect(more).toEqual([]);
  expect(first).toMatchObject({ line: 6, language: 'sh', text: 'sleep 1000\n' });
  expect(markOf(first!)).toEqual({ kind: 'minutes', reason: 'a bench, of many runs' });
  expect(second).toMatchObject({ line: 12, language: 'console', comment: '' });
  expect(second?.text).toBe('$ stowctl status\nNODE\n');
  expect(markOf(second!)).toBeUndefined();
});

it.each([
  ['not run (weekend): nobody is there', '"weekend" is no kind of mark'],
  ['not run (minutes)', 'is not of the form'],
  ['not run here: it needs a cluster', 'is not of the form'],
])('%s: refused', (comment, message) => {
  expect(() => markOf({ comment })).toThrow(message);
});

it('another comment is no mark', () => {
  expect(markOf({ comment: 'written by npm run gen' })).toBeUndefined();
});
