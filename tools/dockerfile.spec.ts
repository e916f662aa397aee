import { readFileSync } from 'node:fs';
import path from 'node:path';

/** What images are made of, as far as that can be seen without building one. */

const dockerfile = readFileSync(path.resolve(__dirname, '..', 'Dockerfile'), 'utf8')
  .replaceAll(/^#.*$/gm, '')
  .replaceAll(/\\\n/g, ' ');

/** Stages by name, the last one as `last`: the base of each, and its instructions. */
const stages = new Map(
  dockerfile
    .split(/^(?=FROM )/m)
    .slice(1)
    .map((text) => {
      const [from = '', ...rest] = text.split('\n').filter((line) => line.trim() !== '');
      const [, base = '', name = 'last'] = /^FROM (?:--\S+ )?(\S+)(?: AS (\S+))?$/.exec(from) ?? [];
      return [name, { base, instructions: rest.map((line) => line.split(/\s/)[0] ?? '') }];
    }),
);

it.each(['service', 'docker-shim', 'last'])('nothing is run to make the image of %s', (name) => {
  const seen: string[] = [];
  let at: string | undefined = name;
  while (at !== undefined && stages.has(at)) {
    const stage: { base: string; instructions: string[] } | undefined = stages.get(at);
    seen.push(...(stage?.instructions ?? []));
    at = stage?.base;
  }
  expect(at).toBe('${BASE_IMAGE}');
  const allowed = ['ARG', 'LABEL', 'ENV', 'WORKDIR', 'STOPSIGNAL', 'ENTRYPOINT', 'CMD', 'COPY'];
  expect(seen.filter((instruction) => !allowed.includes(instruction))).toEqual([]);
});

it('images are made on Node.js 24 without a shell, and nothing installs a compiler', () => {
  expect(dockerfile).toMatch(/^ARG BASE_IMAGE=gcr\.io\/distroless\/nodejs24-/m);
  expect(dockerfile).not.toMatch(/apt-get|g\+\+|python3/);
});
