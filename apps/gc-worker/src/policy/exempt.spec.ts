import { compileExempt, exemptRuleProblem, type ExemptRule } from './exempt';
import { image, minutes, now } from '../testing/plan-fixtures';

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
    expect(compileExempt(['unrelated/**', pattern])(facts, now)).toBe(
      matches ? pattern : undefined,
    );
  });

  // As containerd lists what was pulled by tag and digest: without the tag.
  const content = `sha256:${'4'.repeat(64)}`;
  const pinned = image(`sha256:${'5'.repeat(64)}`, {
    repoTags: [],
    repoDigests: [`registry.example/team/tool@${content}`],
  });
  const busybox = image('6'.repeat(64), {
    repoTags: ['docker.io/library/busybox:1.36'],
    repoDigests: [`docker.io/library/busybox@sha256:${'7'.repeat(64)}`],
  });
  it.each([
    ['tag and digest', `registry.example/team/tool:1.4@${content}`, pinned],
    ['a glob with tag and digest', `*/team/tool:1.4@${content}`, pinned],
    ['a glob with a tag of wildcards and a digest', `registry.example/**:*@${content}`, pinned],
    ['a tag beside a glob over digests', 'registry.example/team/tool:1.4@sha256:4*', pinned],
    ['tags in braces beside a glob over digests', '*/team/tool:{1.4,1.5}@sha256:*', pinned],
    ['tag and digest by another registry’s name', `mirror.example/tool:1.4@${content}`, pinned],
    ['an image id without sha256:', '5'.repeat(64), pinned],
    ['the beginning of an image id', '5'.repeat(12), pinned],
    ['the beginning of an image id behind sha256:', `sha256:${'5'.repeat(12)}`, pinned],
    ['an image id that is listed without sha256:', `sha256:${'6'.repeat(64)}`, busybox],
    ['a short name', 'busybox', busybox],
    ['a short name with a tag', 'busybox:1.36', busybox],
    ['a short name with any tag', 'busybox:*', busybox],
    ['half a name', 'docker.io/busybox', busybox],
    ['half a name with any tag', 'docker.io/busybox:*', busybox],
    ['the other half of a name', 'library/busybox', busybox],
    ['the other half of a name with a tag', 'library/busybox:1.36', busybox],
    ['the old host of Docker Hub', 'index.docker.io/library/busybox:1.*', busybox],
    ['the old host of Docker Hub, half a name', 'index.docker.io/busybox', busybox],
    ['a short name with tag and digest', `busybox:1.36@sha256:${'7'.repeat(64)}`, busybox],
  ])('matches %s: %s', (_, pattern, facts) => {
    expect(compileExempt([pattern])(facts, now)).toBe(pattern);
    expect(compileExempt([], [{ image: pattern }])(facts, now)).toBe(`image ${pattern}`);
  });

  it.each([
    ['another digest', `registry.example/team/tool:1.4@sha256:${'9'.repeat(64)}`, pinned],
    ['a tag that is not listed', 'registry.example/team/tool:1.4', pinned],
    ['a glob over digests of another name', 'registry.example/other:*@sha256:*', pinned],
    ['a tag that is only the beginning', 'busybox:1.3', busybox],
    ['a name of another registry', 'quay.io/library/busybox', busybox],
    ['a few digits of an image id', '5'.repeat(11), pinned],
  ])('does not match %s: %s', (_, pattern, facts) => {
    expect(compileExempt([pattern])(facts, now)).toBeUndefined();
  });

  it('matches nothing without patterns', () => {
    expect(compileExempt([])(nginx, now)).toBeUndefined();
  });
});

describe('exempt rules', () => {
  const facts = {
    ...tool,
    imageId: '8'.repeat(64),
    repoDigests: [`registry.example:5000/base/os/tool@${digest}`],
    firstDetected: now - minutes(60),
    namespaces: ['kube-system', 'shop'],
    labels: { tier: 'base', 'org.example.keep': '' },
  };
  it.each<[string, ExemptRule, string | undefined]>([
    ['a digest', { digest }, `digest ${digest}`],
    ['the image id', { digest: `sha256:${'8'.repeat(64)}` }, `digest sha256:${'8'.repeat(64)}`],
    ['the image id without sha256:', { digest: '8'.repeat(64) }, `digest ${'8'.repeat(64)}`],
    ['another image id as digest', { digest: `sha256:${'e'.repeat(64)}` }, undefined],
    ['a label by name', { label: 'org.example.keep' }, 'label org.example.keep'],
    ['a label by value', { label: 'tier=base' }, 'label tier=base'],
    ['a label by part of its value', { label: 'tier=b*e' }, 'label tier=b*e'],
    ['a label of another value', { label: 'tier=b.se' }, undefined],
    ['a namespace that used it', { namespace: 'kube-*' }, 'namespace kube-*'],
    ['a namespace that did not', { namespace: 'default' }, undefined],
    ['an age below', { youngerThanMs: minutes(61) }, 'younger than 3660 s'],
    ['an age reached', { youngerThanMs: minutes(60) }, undefined],
    [
      'all conditions together',
      { image: 'registry.example:5000/**', namespace: 'shop', youngerThanMs: minutes(90) },
      'image registry.example:5000/**, namespace shop, younger than 5400 s',
    ],
    ['all but one', { image: 'registry.example:5000/**', namespace: 'default' }, undefined],
  ])('hold for %s', (_, rule, text) => {
    expect(compileExempt([], [rule])(facts, now)).toBe(text);
  });

  it.each<[string, ExemptRule, string | undefined]>([
    ['a rule without condition', {}, 'one or more of image, digest, label, namespace, youngerThan'],
    ['an empty glob', { image: '' }, 'no empty text'],
    ['half a digest', { digest: 'sha256:12' }, 'a full digest, such as sha256:9f86d08…'],
    ['a label without name', { label: '=x' }, 'a label as name or name=value'],
    ['no age', { youngerThanMs: 0 }, 'a youngerThan of more than 0'],
    ['an id without sha256:', { digest: '8'.repeat(64) }, undefined],
    ['a good rule', { label: 'a=b', namespace: '*' }, undefined],
  ])('are checked: %s', (_, rule, problem) => {
    expect(exemptRuleProblem(rule)).toBe(problem);
  });
});
