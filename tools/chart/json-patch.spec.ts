import fc from 'fast-check';
import { patchBetween, type PatchStep } from './json-patch';

/** Applies a patch as RFC 6902 says. */
function apply(document: unknown, steps: readonly PatchStep[]): unknown {
  const result: { root: unknown } = { root: structuredClone(document) };
  for (const step of steps) {
    const keys = ['root', ...step.path.split('/').slice(1)].map((key) =>
      key.replaceAll('~1', '/').replaceAll('~0', '~'),
    );
    const last = keys.pop() ?? '';
    let parent: unknown = result;
    for (const key of keys) parent = (parent as Record<string, unknown>)[key];
    if (step.op !== 'remove' && Array.isArray(parent) && last === '-') parent.push(step.value);
    else if (step.op !== 'remove') (parent as Record<string, unknown>)[last] = step.value;
    else if (Array.isArray(parent)) parent.splice(Number(last), 1);
    else Reflect.deleteProperty(parent as object, last);
  }
  return result.root;
}

it('makes one document out of another', () => {
  const json = fc
    .jsonValue({ maxDepth: 4 })
    .map((value) => JSON.stringify(value))
    // An assignment to it, as `apply` makes one, is no key.
    .filter((text) => !text.includes('__proto__'))
    .map((text) => JSON.parse(text) as unknown);
  fc.assert(
    fc.property(json, json, (from, to) => {
      expect(apply(from, patchBetween(from, to))).toEqual(to);
    }),
  );
});

it('says only what is different', () => {
  const from = { a: { 'b/c': [1, { x: 1, y: 2 }, 3] }, d: 'same' };
  const to = { a: { 'b/c': [1, { x: 1, y: 3 }] }, d: 'same', e: true };
  expect(patchBetween(from, to)).toEqual([
    { op: 'replace', path: '/a/b~1c/1/y', value: 3 },
    { op: 'remove', path: '/a/b~1c/2' },
    { op: 'add', path: '/e', value: true },
  ]);
  expect(patchBetween(from, structuredClone(from))).toEqual([]);
});
