import { crioProgram, testOn, testRuntime } from './test-runtime';

it('tests run on containerd unless the environment names a CRI-O', () => {
  expect(testRuntime({})).toEqual({ name: 'containerd' });
  expect(testRuntime({ STOWAGE_TEST_CRIO: '' })).toEqual({ name: 'containerd' });
  const crio = process.execPath;
  expect(testRuntime({ STOWAGE_TEST_CRIO: crio })).toEqual({
    name: 'cri-o',
    crio,
    ociRuntime: 'runc',
    events: true,
  });
  expect(
    testRuntime({
      STOWAGE_TEST_CRIO: crio,
      STOWAGE_TEST_OCI_RUNTIME: 'crun',
      STOWAGE_TEST_CRIO_EVENTS: 'off',
    }),
  ).toMatchObject({ ociRuntime: 'crun', events: false });
});

it.each([
  [{ STOWAGE_TEST_CRIO: 'crio' }, 'STOWAGE_TEST_CRIO is crio, must be the absolute path'],
  [{ STOWAGE_TEST_CRIO: '/none/crio' }, 'STOWAGE_TEST_CRIO is /none/crio, must be'],
  [
    { STOWAGE_TEST_CRIO: process.execPath, STOWAGE_TEST_OCI_RUNTIME: 'youki' },
    'STOWAGE_TEST_OCI_RUNTIME is youki, must be runc or crun',
  ],
  [
    { STOWAGE_TEST_CRIO: process.execPath, STOWAGE_TEST_CRIO_EVENTS: 'true' },
    'STOWAGE_TEST_CRIO_EVENTS is true, must be on or off',
  ],
])('%j is refused', (env, message) => {
  expect(() => testRuntime(env)).toThrow(message);
});

describe('on CRI-O', () => {
  const before = process.env.STOWAGE_TEST_CRIO;

  afterEach(() => {
    if (before === undefined) delete process.env.STOWAGE_TEST_CRIO;
    else process.env.STOWAGE_TEST_CRIO = before;
    jest.restoreAllMocks();
  });

  it('a test sets it up as it needs it', () => {
    process.env.STOWAGE_TEST_CRIO = process.execPath;
    expect(crioProgram({ events: false, ociRuntime: 'crun' })).toMatchObject({
      crio: process.execPath,
      events: false,
      ociRuntime: 'crun',
    });
    delete process.env.STOWAGE_TEST_CRIO;
    expect(() => crioProgram({})).toThrow('this test runs on CRI-O alone: set STOWAGE_TEST_CRIO');
  });

  it('a test of another runtime is skipped with its reason in its title', () => {
    const skip = jest.spyOn(it, 'skip').mockImplementation();
    process.env.STOWAGE_TEST_CRIO = process.execPath;
    const onContainerd = testOn('containerd', 'CRI-O has no such store');
    onContainerd('reads its store', () => undefined);
    expect(skip).toHaveBeenCalledWith(
      'reads its store (only on containerd: CRI-O has no such store)',
      expect.any(Function),
    );
    expect(testOn('cri-o', 'containerd has no such store')).toBe(it);
  });
});
