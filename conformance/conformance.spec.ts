import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AdapterError, type Adapters, loadAdapters } from './adapters';
import { notApplicableSections } from './not-applicable';
import { pendingFiles } from './pending';
import { reportLines } from './report';
import { isConformant, runConformance } from './run';
import type { SectionAdapter } from './types';
import { loadVectors, type VectorFile } from './vectors';

const root = path.resolve(__dirname, '..');

/** All of conformance/vectors, and another folder, as conformance/README.md has them run. */
describe('the vectors of this workspace', () => {
  const vectors = loadVectors(path.join(__dirname, 'vectors'));
  let adapters: Adapters;
  beforeAll(async () => {
    adapters = await loadAdapters(root);
  });

  const finished = vectors.filter(({ file }) => !pendingFiles.includes(file));
  const sections = finished.flatMap(({ file, sections: list }) =>
    list.map((section) => ({ file, name: section.section, section })),
  );

  for (const { file, name, section } of sections) {
    it(`${file} ${name}: every case passes or does not apply`, async () => {
      const report = await runConformance({
        vectors: [{ file, sections: [section] }],
        adapters,
        pendingFiles: [],
        notApplicable: notApplicableSections,
      });
      if (!isConformant(report)) throw new Error(reportLines(report).join('\n'));
    });
  }

  it('lists as pending only files that exist and have no adapter', () => {
    const files = vectors.map(({ file }) => file);
    expect(pendingFiles.filter((file) => !files.includes(file))).toEqual([]);
    expect(pendingFiles.filter((file) => adapters.has(file))).toEqual([]);
  });

  it('has adapters only for sections that exist', () => {
    const known = vectors.flatMap(({ file, sections: list }) =>
      list.map(({ section }) => `${file} ${section}`),
    );
    const covered = [...adapters].flatMap(([file, map]) =>
      [...map.keys()].map((section) => `${file} ${section}`),
    );
    const excluded = notApplicableSections.map(({ file, section }) => `${file} ${section}`);
    expect([...covered, ...excluded].filter((name) => !known.includes(name))).toEqual([]);
    expect(covered.filter((name) => excluded.includes(name))).toEqual([]);
  });
});

describe('the command', () => {
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', path.join(__dirname, 'main.ts'), ...args],
      {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
      },
    );
    return { status, stdout, stderr };
  };
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'stowage-conformance-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const cases = (tag: string) => ({
    cases: {
      kubelet_split: [{ id: 'new-1', in: 'a', want: { repo: 'docker.io/library/a', tag } }],
    },
  });

  it('runs cases of another folder, with ids that were not known', () => {
    writeFileSync(path.join(dir, 'image-ref-parse.json'), JSON.stringify(cases('latest')));
    expect(run(dir)).toEqual({
      status: 0,
      stdout:
        'image-ref-parse kubelet_split: 1 passed, 0 failed, 0 not applicable\n' +
        'total: 1 passed, 0 failed, 0 not applicable\n',
      stderr: '',
    });
  });

  it('ends with 1 when a case fails', () => {
    writeFileSync(path.join(dir, 'image-ref-parse.json'), JSON.stringify(cases('v2')));
    const { status, stdout } = run(dir);
    expect(status).toBe(1);
    expect(stdout).toContain('  FAILED new-1\n');
    expect(stdout).toContain('total: 0 passed, 1 failed, 0 not applicable\n');
  });

  it('ends with 1 and one line when the folder cannot be used, with 64 for wrong usage', () => {
    expect(run(path.join(dir, 'absent'))).toEqual({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^conformance: cannot read folder .*absent: ENOENT.*\n$/,
      ) as string,
    });
    expect(run('--help')).toEqual({
      status: 64,
      stdout: '',
      stderr: 'usage: npm run conformance -- [DIR]\n',
    });
  });
});

describe('running cases', () => {
  const vector = (sections: Record<string, string[]>): VectorFile => ({
    file: 'sums',
    sections: Object.entries(sections).map(([section, ids]) => ({
      section,
      cases: ids.map((id) => ({ id })),
    })),
  });
  const covering = (sections: Record<string, SectionAdapter>): Adapters =>
    new Map([
      [
        'sums',
        new Map(Object.entries(sections).map(([name, run]) => [name, { run, from: 'x' }] as const)),
      ],
    ]);
  const same: SectionAdapter = () => ({ want: 1, got: 1 });

  const table: {
    name: string;
    sections: Record<string, string[]>;
    adapters: Adapters;
    pending?: string[];
    notApplicable?: { file: string; section: string; reason: string }[];
    conformant: boolean;
    lines: string[];
  }[] = [
    {
      name: 'all passed',
      sections: { add: ['a', 'b'], divide: ['c'] },
      adapters: covering({ add: same, divide: same }),
      conformant: true,
      lines: [
        'sums add: 2 passed, 0 failed, 0 not applicable',
        'sums divide: 1 passed, 0 failed, 0 not applicable',
        'total: 3 passed, 0 failed, 0 not applicable',
      ],
    },
    {
      name: 'a failure is printed with its id, what was wanted and what was got',
      sections: { add: ['a', 'b'] },
      adapters: covering({
        add: ({ id }) => ({ want: { sum: 1 }, got: { sum: id === 'a' ? 1 : 2 } }),
      }),
      conformant: false,
      lines: [
        'sums add: 1 passed, 1 failed, 0 not applicable',
        '  FAILED b',
        '    wanted {"sum":1}',
        '    got    {"sum":2}',
        'total: 1 passed, 1 failed, 0 not applicable',
      ],
    },
    {
      name: 'an adapter that throws fails that case and not the run',
      sections: { add: ['a'], divide: ['b'] },
      adapters: covering({
        add: () => {
          throw new RangeError('boom');
        },
        divide: same,
      }),
      conformant: false,
      lines: [
        'sums add: 0 passed, 1 failed, 0 not applicable',
        '  FAILED a',
        '    wanted no throw',
        '    got    threw RangeError: boom',
        'sums divide: 1 passed, 0 failed, 0 not applicable',
        'total: 1 passed, 1 failed, 0 not applicable',
      ],
    },
    {
      name: 'a section without an adapter is not covered, even an empty one',
      sections: { add: ['a'], divide: [] },
      adapters: covering({ add: same }),
      conformant: false,
      lines: [
        'sums add: 1 passed, 0 failed, 0 not applicable',
        'sums divide: NOT COVERED, no adapter runs its 1 cases',
        'total: 1 passed, 0 failed, 0 not applicable, 1 not covered',
      ],
    },
    {
      name: 'a file that is neither pending nor covered is not covered',
      sections: { add: ['a', 'b'] },
      adapters: new Map(),
      conformant: false,
      lines: [
        'sums add: NOT COVERED, no adapter runs its 2 cases',
        'total: 0 passed, 0 failed, 0 not applicable, 2 not covered',
      ],
    },
    {
      name: 'a not applicable section counts its cases and says why',
      sections: { add: ['a', 'b'] },
      adapters: covering({}),
      notApplicable: [{ file: 'sums', section: 'add', reason: 'no numbers here' }],
      conformant: true,
      lines: [
        'sums add: 0 passed, 0 failed, 2 not applicable (no numbers here)',
        'total: 0 passed, 0 failed, 2 not applicable',
      ],
    },
    {
      name: 'a pending file is not run and not conformant',
      sections: { add: ['a', 'b'] },
      adapters: new Map(),
      pending: ['sums'],
      conformant: false,
      lines: [
        'sums: PENDING, 2 cases not run (conformance/pending.ts)',
        'total: 0 passed, 0 failed, 0 not applicable, 2 pending in 1 file',
      ],
    },
    {
      name: 'a pending file that has an adapter is run and reported',
      sections: { add: ['a'] },
      adapters: covering({ add: same }),
      pending: ['sums'],
      conformant: false,
      lines: [
        'sums add: 1 passed, 0 failed, 0 not applicable',
        'sums: has an adapter, so it must leave conformance/pending.ts',
        'total: 1 passed, 0 failed, 0 not applicable',
      ],
    },
  ];

  it.each(table)('$name', async (row) => {
    const report = await runConformance({
      vectors: [vector(row.sections)],
      adapters: row.adapters,
      pendingFiles: row.pending ?? [],
      notApplicable: row.notApplicable ?? [],
    });
    expect(reportLines(report)).toEqual(row.lines);
    expect(isConformant(report)).toBe(row.conformant);
  });

  it.each([
    ['key order does not count', { a: 1, b: [2] }, { b: [2], a: 1 }, true],
    ['an undefined key is an absent key', { a: 1, b: undefined }, { a: 1 }, true],
    ['null is not absent', { a: null }, {}, false],
    ['list order counts', [1, 2], [2, 1], false],
    ['a bigint is not a number', 1n, 1, false],
  ])('%s', async (_, want, got, equal) => {
    const report = await runConformance({
      vectors: [vector({ add: ['a'] })],
      adapters: covering({ add: () => ({ want, got }) }),
      pendingFiles: [],
      notApplicable: [],
    });
    expect(isConformant(report)).toBe(equal);
  });
});

describe('reading files', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'stowage-conformance-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it.each([
    ['{', /^.*sums\.json is not JSON: /],
    ['[]', /sums\.json: wanted an object with "cases", a map of sections$/],
    ['{"cases": []}', /sums\.json: wanted an object with "cases", a map of sections$/],
    ['{"cases": {"add": {}}}', /sums\.json: section add is not a list$/],
    ['{"cases": {"add": [{}]}}', /sums\.json: section add, case 0 has no "id"$/],
    [
      '{"cases": {"add": [{"id": "a"}], "sub": [{"id": "a"}]}}',
      /sums\.json: section sub uses id a a second time$/,
    ],
  ])('refuses %s', (content, message) => {
    writeFileSync(path.join(dir, 'sums.json'), content);
    expect(() => loadVectors(dir)).toThrow(message);
  });

  it('refuses a folder that is absent, and one without vectors', () => {
    expect(() => loadVectors(path.join(dir, 'absent'))).toThrow(
      /^cannot read folder .*absent: ENOENT/,
    );
    expect(() => loadVectors(dir)).toThrow(`no *.json in folder ${dir}`);
  });

  const writeAdapter = (file: string, content: string): void => {
    mkdirSync(path.dirname(path.join(dir, file)), { recursive: true });
    writeFileSync(path.join(dir, file), content);
  };
  const adapter = (file: string, section: string): string =>
    `export const conformance = { file: '${file}', sections: { ${section}: () => ({ want: 1, got: 1 }) } };`;

  it('adds up the adapters of one file', async () => {
    writeAdapter('conformance/a/sums.conformance.ts', adapter('sums', 'add'));
    writeAdapter('conformance/b/sums.conformance.ts', adapter('sums', 'divide'));
    writeAdapter('libs/a/src/other.conformance.ts', 'not looked at');
    const adapters = await loadAdapters(dir);
    expect([...adapters.keys()]).toEqual(['sums']);
    expect([...adapters.get('sums')!.keys()].sort()).toEqual(['add', 'divide']);
  });

  it.each([
    [
      'a section covered twice',
      {
        'conformance/a/sums.conformance.ts': adapter('sums', 'add'),
        'conformance/b/sums.conformance.ts': adapter('sums', 'add'),
      },
      'conformance/b/sums.conformance.ts and conformance/a/sums.conformance.ts both cover sums add',
    ],
    [
      'a file name that is not the vector file',
      { 'conformance/a/other.conformance.ts': adapter('sums', 'add') },
      'conformance/a/other.conformance.ts is for vector file sums, so its name must be sums.conformance.ts',
    ],
    [
      'no export',
      { 'conformance/a/sums.conformance.ts': 'export const other = 1;' },
      'conformance/a/sums.conformance.ts exports no "conformance"',
    ],
  ])('refuses adapters with %s', async (_, files, message) => {
    for (const [file, content] of Object.entries(files)) writeAdapter(file, content);
    await expect(loadAdapters(dir)).rejects.toThrow(new AdapterError(message));
  });
});
