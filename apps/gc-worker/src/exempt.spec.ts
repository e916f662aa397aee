import { compileExempt } from './exempt';
import { image } from './testing/plan-fixtures';

const digest = `sha256:${'d'.repeat(64)}`;
const nginx = image('sha256:abc', {
  repoTags: ['docker.io/library/nginx:1.25'],
  repoDigests: [`docker.io/library/nginx@${digest}`],
});
const tool = image('sha256:def', { repoTags: ['registry.example:5000/base/os/tool:2'] });
const untagged = image('sha256:fff', { repoTags: ['<none>:<none>'] });

describe('compileExempt', () => {
  it.each([
    ['a full reference', 'docker.io/library/nginx:1.25', nginx, true],
    ['a familiar reference', 'nginx:1.25', nginx, true],
    ['a tag glob', 'nginx:1.*', nginx, true],
    ['a tag glob that does not fit', 'nginx:2.*', nginx, false],
    ['a name without tag', 'nginx', nginx, true],
    ['a digest', digest, nginx, true],
    ['an image id', 'sha256:abc', nginx, true],
    ['one path component by *', 'registry.example:5000/base/*', tool, false],
    ['all path components by **', 'registry.example:5000/base/**', tool, true],
    ['a registry with port', 'registry.example:5000/**', tool, true],
    ['a list in braces', '{nginx,redis}:*', nginx, true],
    ['an image without a name, by what is listed', '<none>:<none>', untagged, true],
    ['a name that is only the beginning', 'ngin', nginx, false],
  ])('matches %s: %s', (_, pattern, facts, matches) => {
    expect(compileExempt(['unrelated/**', pattern])(facts)).toBe(matches ? pattern : undefined);
  });

  it('matches nothing without patterns', () => {
    expect(compileExempt([])(nginx)).toBeUndefined();
  });
});
