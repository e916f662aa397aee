import { image, now } from '../testing/plan-fixtures';
import { compileExempt, exemptRuleProblem } from './exempt';
import { exemptPatternProblem, splitPatterns } from './exempt-pattern';

const digest = `sha256:${'4'.repeat(64)}`;

describe('exemptPatternProblem', () => {
  it.each([
    'nginx',
    'nginx:1.25',
    'docker.io/busybox',
    'Registry.Example/team/tool:1',
    '[::1]:5000/x',
    '<none>:<none>',
    digest,
    'sha256:abc',
    '4'.repeat(64),
    '4'.repeat(12),
    `registry.example/team/tool:1.4@${digest}`,
    `docker-pullable://registry.example/team/tool@${digest}`,
    `registry.example/**:*@${digest}`,
    'registry.example/team/tool:1.4@sha256:4*',
    '*/team/tool:{1.4,1.5}@sha256:*',
    'index.docker.io/library/busybox:1.*',
    'quay.io/base/**',
    '{nginx,redis}:*',
    '{quay.io/{a,b},ghcr.io}/**',
    'nginx:[0-9]*',
    'nginx:[!0-9]*',
    '@(nginx|redis):*',
    '!(nginx):*',
    '*',
    '**',
    '?inux:*',
    '/busybox/',
    '/^(quay|ghcr)\\.io/base/',
  ])('%s can mean an image', (pattern) => {
    expect(exemptPatternProblem(pattern)).toBeUndefined();
    expect(exemptRuleProblem({ image: pattern })).toBeUndefined();
  });

  it.each([
    [
      'regex:busybox',
      '"regex:" is no part of a reference; a regular expression is written as /…/, for example /busybox/',
    ],
    [
      're:^busybox',
      '"re:" is no part of a reference; a regular expression is written as /…/, for example /^busybox/',
    ],
    ['[', 'a "[" without "]"'],
    ['nginx:[0-9', 'a "[" without "]"'],
    ['{nginx', 'a "{" without "}"'],
    ['redis}:*', 'a "}" without its opening bracket'],
    [
      '^busybox',
      'no reference has "^"; a regular expression is written as /…/, for example /^busybox/',
    ],
    [
      'quay.io/(a|b)$',
      'no reference has "$"; a regular expression is written as /…/, for example /quay.io\\/(a|b)$/',
    ],
    ['a|b', 'no reference has "|"; a regular expression is written as /…/, for example /a|b/'],
    [
      '!nginx',
      'no reference has "!"; a regular expression is written as /…/, for example /!nginx/',
    ],
    [
      'my image',
      'no reference has " "; a regular expression is written as /…/, for example /my image/',
    ],
    ['Busybox', 'it is no reference, image id or digest'],
    ['nginx:', 'it is no reference, image id or digest'],
    ['quay.io/base/', 'it is no reference, image id or digest'],
    ['https://quay.io/*', 'no reference has "//"'],
    ['*@sha256:*@sha256:*', 'a reference has one "@"'],
    ['.*', 'no reference begins with "."'],
    ['/quay.io/*', 'no reference begins with "/"'],
    ['quay.io/*/', 'no reference ends with "/"'],
    ['', 'it is empty'],
    ['/(/', 'a "(" without ")"'],
    ['/(?=a)/', '"(?=": looks around, names and flags are not known; only (…) and (?:…)'],
    ['/bus ybox/', 'no reference can match it'],
    ['/busybox$x/', 'no reference can match it'],
  ])('%s can mean none', (pattern, problem) => {
    expect(exemptPatternProblem(pattern)).toBe(problem);
  });
});

describe('regular expressions of exempt images', () => {
  const busybox = image('sha256:abc', { repoTags: ['docker.io/library/busybox:1.36'] });
  it.each([
    ['/busybox/', true],
    ['/^busybox:1\\.\\d+$/', true],
    ['/^docker\\.io/library//', true],
    ['/^docker\\.io/busybox:/', true],
    ['/^box/', false],
    ['/busybox:2/', false],
  ])('%s: %s', (pattern, isKept) => {
    expect(compileExempt([pattern])(busybox, now)).toBe(isKept ? pattern : undefined);
    expect(compileExempt([], [{ image: pattern }])(busybox, now)).toBe(
      isKept ? `image ${pattern}` : undefined,
    );
  });
});

describe('splitPatterns', () => {
  it.each([
    ['a, b ,c', ['a', 'b', 'c']],
    ['{nginx,redis}:*,busybox', ['{nginx,redis}:*', 'busybox']],
    ['/a{1,2}/,b', ['/a{1,2}/', 'b']],
    ['/quay.io/base/ , x', ['/quay.io/base/', 'x']],
    ['/quay.io,b', ['/quay.io', 'b']],
    ['{a,b', ['{a', 'b']],
    ['nginx:[,x],b', ['nginx:[,x]', 'b']],
    [',,', []],
    ['', []],
  ])('%s', (text, patterns) => {
    expect(splitPatterns(text)).toEqual(patterns);
  });
});
