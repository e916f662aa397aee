import path from 'node:path';
import { type Adapters, loadAdapters } from './adapters';
import { runConformance } from './run';

/** A case, and whether it holds. */
type Form = [file: string, section: string, what: string, holds: boolean, testCase: object];

const image = { size: 10, last_used: 1, first_detected: 1 };
const space = { free_time: 100, min_age: 0, bytes_to_free: 10 };
const steps = [
  { images: [{ id: 'a', size: 5 }, 'b'], containers_use: [], detect_time: 1 },
  { images: ['a', { id: 'b', pinned: true }], containers_use: [{ image: 'a' }], detect_time: 2 },
  { images: ['a', 'b'], containers_use: ['b'], detect_time: 3 },
];
const used = { first_detected: 'unchanged', last_used: 'wall clock of pass 2' };
const full = { capacity: 1000, available: 100, high_percent: 85, low_percent: 80 };
const secret = { uid: 'u', namespace: 'n', name: 's', hash: 'h' };
const mustPull = {
  policy: 'AlwaysVerify',
  image: 'reg.io/a:1',
  image_ref: 'sha256:a',
  pulled_records: [{ image_ref: 'sha256:a', by_image: [{ image: 'reg.io/a', secrets: [secret] }] }],
  pull_intents: ['reg.io/b:1'],
  pod_secrets: [secret],
  pod_service_account: null,
};
const pulled = {
  image: 'reg.io/a:1',
  image_ref: 'sha256:a',
  creds: { node: true },
  existing_record: [{ image: 'reg.io/a', node: true }],
  pulls_in_flight_before: 0,
  record_file: 'sha256-c2b7f9f6d1d2',
  want_record: { 'reg.io/a': { node: true } },
};
const sequence = {
  image: 'reg.io/a:1',
  policy: 'IfNotPresent',
  present: true,
  secret_check_enabled: false,
  inspect_error: null,
  pull_error: null,
  qps: 0,
  burst: 0,
  records_allow: 'anything',
  clock_step_seconds: 1,
  backoff_seconds: { initial: 1, max: 2 },
};

const forms: Form[] = [
  // An error without the prefix.
  ...(['invalid checksum digest format', 'other:invalid checksum digest format'] as const).map(
    (error): Form => [
      'image-ref-parse',
      'strict_parse',
      `error "${error}"`,
      true,
      { in: `a@sha256:${'A'.repeat(64)}`, error },
    ],
  ),
  ['image-ref-parse', 'strict_parse', 'another text', false, { in: 'a@sha256:A', error: 'bad' }],
  // Records of a list of objects, and times in words.
  [
    'gc-freespace',
    'records',
    'images and containers as objects',
    true,
    { steps, want: { a: used, b: { last_used: 'wall clock of the pass' } } },
  ],
  [
    'gc-freespace',
    'records',
    'an unchanged time that changed',
    false,
    { steps, want: { a: used, b: { last_used: 'unchanged' } } },
  ],
  [
    'gc-freespace',
    'records',
    'a detect time in words',
    true,
    { steps, want: { a: { first_detected: 'detect time of pass 1' }, b: {} } },
  ],
  [
    'gc-freespace',
    'records',
    'a time not understood',
    false,
    { steps, want: { a: { last_used: 'later' }, b: {} } },
  ],
  [
    'gc-freespace',
    'records',
    'a record that is not there',
    false,
    { steps, want: { a: null, b: {} } },
  ],
  ['gc-freespace', 'records', 'a record too many', false, { steps, want: { a: {} } }],
  // Expected fields that are only in some cases.
  [
    'gc-freespace',
    'space_pass',
    'removed alone',
    true,
    { ...space, images: [{ id: 'a', ...image }], want: { removed: ['a'] } },
  ],
  [
    'gc-freespace',
    'space_pass',
    'an error that is not named',
    false,
    {
      ...space,
      images: [{ id: 'a', ...image }],
      remove_errors: { a: 'busy' },
      want: { attempted: ['a'] },
    },
  ],
  [
    'gc-trigger',
    'disk_check',
    'usage alone',
    true,
    { ...full, removable_sizes_in_order: [200], want: { usage_percent: 90, result: 'ok' } },
  ],
  [
    'gc-trigger',
    'disk_check',
    'another usage',
    false,
    { ...full, removable_sizes_in_order: [200], want: { usage_percent: 89, result: 'ok' } },
  ],
  [
    'pull-verify',
    'must_pull',
    'entries as a list',
    true,
    { ...mustPull, want: { must_pull: false } },
  ],
  [
    'pull-verify',
    'must_pull',
    'the other answer',
    false,
    { ...mustPull, want: { must_pull: true } },
  ],
  [
    'pull-verify',
    'startup',
    'names in objects',
    true,
    {
      runtime_images: [{ id: 'sha256:a', tags: ['reg.io/a:1'], digests: [] }],
      intents: [{ image: 'reg.io/c:1' }],
      pulled_records: [{ image_ref: 'sha256:a' }, 'sha256:b'],
      intents_after: ['reg.io/c:1'],
      pulled_after: [{ image_ref: 'sha256:a' }, { image_ref: 'sha256:b' }],
    },
  ],
  [
    'ensure-image',
    'sequences',
    'calls without a message, no metric',
    true,
    { ...sequence, calls: [{ cri_calls: ['status'], event_reasons: ['Pulled'] }] },
  ],
  [
    'ensure-image',
    'sequences',
    'an error that is not named',
    false,
    { ...sequence, inspect_error: 'broken', calls: [{ cri_calls: ['status'] }] },
  ],
];

describe('forms of a case that an adapter takes', () => {
  let adapters: Adapters;
  beforeAll(async () => {
    adapters = await loadAdapters(path.resolve(__dirname, '..'));
  });

  const run = async (file: string, section: string, testCase: object) => {
    const { sections } = await runConformance({
      vectors: [{ file, sections: [{ section, cases: [{ id: 'case', ...testCase }] }] }],
      adapters,
      pendingFiles: [],
      notApplicable: [],
    });
    return sections[0]?.failures ?? [];
  };

  it.each(forms)('%s %s: %s holds: %s', async (file, section, _what, holds, testCase) => {
    const failures = await run(file, section, testCase);
    expect({ holds: failures.length === 0, failures }).toEqual({
      holds,
      failures: holds ? [] : [expect.objectContaining({ id: 'case' })],
    });
  });

  it.each(['unchanged', 'updated'])(
    'pull-verify record_pulled: a time %s',
    async (time_updated) => {
      const existing_record =
        time_updated === 'unchanged'
          ? pulled.existing_record
          : [{ image: 'reg.io/a', secrets: [] }];
      const failures = await run('pull-verify', 'record_pulled', {
        ...pulled,
        existing_record,
        time_updated,
      });
      // The name of the file is a hash, which this case does not know: all else holds.
      const got = JSON.parse(failures[0]?.got ?? '{}') as { files: string[] };
      const want = JSON.parse(failures[0]?.want ?? '{}') as object;
      expect(got).toEqual({ ...want, files: got.files });
    },
  );
});
