import * as fc from 'fast-check';
import { containerName, parseContainerName, randomSuffix } from './container-name';

const pod = { pod: 'web-0', namespace: 'shop', podUid: '8f2a', attempt: 3 };

describe('containerName', () => {
  it.each([
    ['a sandbox', pod, undefined, 'k8s_POD_web-0_shop_8f2a_3'],
    ['a container', { ...pod, container: 'main' }, undefined, 'k8s_main_web-0_shop_8f2a_3'],
    ['a name that is taken', pod, '0badcafe', 'k8s_POD_web-0_shop_8f2a_3_0badcafe'],
    ['dots', { ...pod, pod: 'web.example' }, undefined, 'k8s_POD_web.example_shop_8f2a_3'],
  ])('%s', (_what, parts, suffix, expected) => {
    expect(containerName(parts, suffix)).toBe(expected);
  });

  it('gives parts with odd characters a seventh part, different for different parts', () => {
    const names = ['a_b', 'a-b', 'a b', 'a/b', 'ä-b'].map((name) =>
      containerName({ ...pod, pod: name }),
    );
    expect(new Set(names).size).toBe(names.length);
    expect(names[0]).toMatch(/^k8s_POD_a-b_shop_8f2a_3_[0-9a-f]{8}$/);
    expect(names[1]).toBe('k8s_POD_a-b_shop_8f2a_3');
  });

  it('is one that the engine takes, and is read back, whatever the parts are', () => {
    const part = fc.string({ minLength: 1, unit: 'binary' });
    fc.assert(
      fc.property(part, part, part, fc.nat(), (name, namespace, podUid, attempt) => {
        const parts = { pod: name, namespace, podUid, attempt };
        const written = containerName(parts);
        expect(written).toMatch(/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/);
        const read = parseContainerName(`/${written}`);
        expect(read?.attempt).toBe(attempt);
        if (written.split('_').length === 6) expect(read).toEqual(parts);
      }),
    );
  });
});

describe('parseContainerName', () => {
  it.each([
    ['/k8s_POD_web-0_shop_8f2a_3', pod],
    ['k8s_main_web-0_shop_8f2a_3', { ...pod, container: 'main' }],
    ['/k8s_main_web-0_shop_8f2a_3_1a2b3c4d', { ...pod, container: 'main' }],
  ])('%s', (name, parts) => expect(parseContainerName(name)).toEqual(parts));

  it.each([
    '/other',
    '/k8s_main_web-0_shop_8f2a',
    '/k8s_main_web-0_shop_8f2a_x',
    '/k8s_main_web-0_shop_8f2a_3_1_2',
    '/k9s_main_web-0_shop_8f2a_3',
    '',
  ])('%j is of no pod', (name) => expect(parseContainerName(name)).toBeUndefined());
});

it('seventh parts are eight hexadecimal digits that differ', () => {
  const suffixes = Array.from({ length: 20 }, randomSuffix);
  expect(new Set(suffixes).size).toBe(20);
  for (const suffix of suffixes) expect(suffix).toMatch(/^[0-9a-f]{8}$/);
});
