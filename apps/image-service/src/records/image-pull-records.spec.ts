import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PullImageRequest } from '@stowage/cri-proto';
import { EnsureImage } from '../ensure/ensure-image';
import { PullImage } from '../pull/pull-image';
import { FakeRuntime } from '../testing/fake-runtime';
import { ImagePullRecords } from './image-pull-records';
import { recordFileName } from './record-files';
import { MemoryRecordStore } from '../testing/memory-record-store';
import { FsRecordStore } from './record-store';
import { RecordedPull } from './recorded-pull';
import { verificationPolicy } from './verification-policy';

const { signal } = new AbortController();
const image = 'reg.io/team/app:1';
const owner = (name: string) => ({
  secret: { uid: 'u', namespace: 'ns', name, credentialHash: name.repeat(8) },
});
const v1beta1 = 'kubelet.config.k8s.io/v1beta1';

describe('files of pull records', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(path.join(tmpdir(), 'records-'))));
  afterEach(() => rmSync(dir, { recursive: true }));
  const file = (folder: string, name: string) => path.join(dir, folder, recordFileName(name));

  it("are kubelet's: folders 0700, files 0600, one line of JSON", () => {
    const store = new FsRecordStore(dir);
    store.writeIntent(image);
    store.writePulledRecord({
      lastUpdatedTime: new Date('2026-01-02T03:04:05.678Z'),
      imageRef: 'sha256:1',
      credentialMapping: {
        'reg.io/b': {
          nodePodsAccessible: true,
          kubernetesSecrets: [],
          kubernetesServiceAccounts: [],
        },
        'reg.io/a': {
          nodePodsAccessible: false,
          kubernetesSecrets: [owner('<').secret],
          kubernetesServiceAccounts: [{ uid: 'x', namespace: 'n', name: 'sa' }],
        },
      },
    });
    expect(readFileSync(file('pulled', 'sha256:1'), 'utf8')).toBe(
      `{"kind":"ImagePulledRecord","apiVersion":"${v1beta1}","lastUpdatedTime":"2026-01-02T03:04:05Z","imageRef":"sha256:1",` +
        '"credentialMapping":{"reg.io/a":{"kubernetesSecrets":[{"uid":"u","namespace":"ns","name":"\\u003c",' +
        '"credentialHash":"\\u003c\\u003c\\u003c\\u003c\\u003c\\u003c\\u003c\\u003c"}],' +
        '"kubernetesServiceAccounts":[{"uid":"x","namespace":"n","name":"sa"}]},"reg.io/b":{"nodePodsAccessible":true}}}\n',
    );
    expect(statSync(path.join(dir, 'pulled')).mode & 0o777).toBe(0o700);
    expect(statSync(file('pulled', 'sha256:1')).mode & 0o777).toBe(0o600);
    const again = new FsRecordStore(dir);
    expect(again.pulledRecord('sha256:1')?.credentialMapping['reg.io/b']?.nodePodsAccessible).toBe(
      true,
    );
    expect(again.intents()).toEqual({ items: [image], errors: [] });
    expect(again.counts()).toEqual({ intents: 1, pulledRecords: 1 });
  });

  it('leave alone what is none, report what cannot be read, and rewrite the version before', () => {
    const problems: string[] = [];
    new FsRecordStore(dir);
    mkdirSync(path.join(dir, 'pulling', 'sha256-folder'));
    writeFileSync(path.join(dir, 'pulling', 'other'), '{');
    writeFileSync(path.join(dir, 'pulling', 'sha256-half.tmp'), '{');
    writeFileSync(path.join(dir, 'pulling', 'sha256-broken'), '{');
    const old = { kind: 'ImagePullIntent', apiVersion: 'kubelet.config.k8s.io/v1alpha1', image };
    writeFileSync(file('pulling', image), JSON.stringify(old));
    writeFileSync(
      file('pulling', 'reg.io/b:1'),
      JSON.stringify({ ...old, image: 'reg.io/b:1', more: 1 }),
    );
    const store = new FsRecordStore(dir, (error) => problems.push(error.message));
    expect(store.intents().items).toEqual([image]);
    // What cannot be read is a file all the same.
    expect(store.counts()).toEqual({ intents: 3, pulledRecords: 0 });
    expect(problems.sort()).toEqual(
      [path.join(dir, 'pulling', 'sha256-broken'), file('pulling', 'reg.io/b:1')]
        .map((name) => `pull record ${name} cannot be decoded`)
        .sort(),
    );
    expect(readFileSync(file('pulling', image), 'utf8')).toContain(v1beta1);
  });

  it('are not waited for when they are pipes', () => {
    const store = new FsRecordStore(dir);
    const pipe = file('pulling', image);
    for (const at of [pipe, `${pipe}.tmp`]) execFileSync('mkfifo', [at]);
    const message = `pull record ${pipe} is no regular file`;
    expect(() => store.hasIntent(image)).toThrow(message);
    expect(store.intents().errors.map((error) => error.message)).toEqual([message]);
    store.writeIntent(image);
    expect(store.hasIntent(image)).toBe(true);
  });

  it('have no folder yet where it cannot be made, which keeps pulls from being noted and nothing else', () => {
    const blocked = path.join(dir, 'file');
    writeFileSync(blocked, '');
    const problems: string[] = [];
    const store = new FsRecordStore(path.join(blocked, 'records'), ({ message }) =>
      problems.push(message),
    );
    expect(problems).toEqual([expect.stringContaining('ENOTDIR')]);
    expect(() => store.writeIntent(image)).toThrow('ENOTDIR');
    rmSync(blocked);
    store.writeIntent(image);
    expect(store.intents().items).toEqual([image]);
  });

  it('count as absent when they are about another image', () => {
    const store = new FsRecordStore(dir);
    store.writeIntent('reg.io/b:1');
    writeFileSync(file('pulling', image), readFileSync(file('pulling', 'reg.io/b:1')));
    expect(store.hasIntent(image)).toBe(false);
    store.deleteIntent(image);
    store.deleteIntent(image);
  });

  it('demand a pull when the record cannot be decoded', async () => {
    const checked: string[] = [];
    const records = new ImagePullRecords(
      new FsRecordStore(dir),
      verificationPolicy('NeverVerify'),
      { checked: (result) => checked.push(result) },
    );
    writeFileSync(file('pulled', 'sha256:1'), '{');
    const credentials = () => Promise.reject(new Error('not asked for'));
    expect(await records.mustAttemptPull(image, 'sha256:1', credentials)).toBe(true);
    expect(checked).toEqual(['error']);
  });

  it('keep the intent when the pulled record cannot be written', async () => {
    const problems: string[] = [];
    const store = new FsRecordStore(dir);
    const records = new ImagePullRecords(store, verificationPolicy('AlwaysVerify'), {
      problem: (what) => problems.push(what),
    });
    await records.recordIntent(image);
    rmSync(path.join(dir, 'pulled'), { recursive: true });
    writeFileSync(path.join(dir, 'pulled'), '');
    await records.recordPulled(image, 'sha256:1', undefined);
    expect(problems).toContain('a pulled record could not be written');
    expect([store.hasIntent(image), records.intentsOf(image)]).toEqual([true, 1]);
    chmodSync(dir, 0o700);
  });
});

describe('records of pulls', () => {
  const open = (policy = 'NeverVerifyPreloadedImages') => {
    const store = new MemoryRecordStore();
    const records = new ImagePullRecords(store, verificationPolicy(policy), {}, () => 0);
    const may = async (secrets: ReturnType<typeof owner>['secret'][]) =>
      !(await records.mustAttemptPull(image, 'sha256:1', () => Promise.resolve({ secrets })));
    return { store, records, may };
  };

  it('count the pulls of one image, and end with the last', async () => {
    const { store, records } = open();
    await records.recordIntent(image);
    await records.recordIntent(image);
    await records.recordFailed(image);
    expect([records.intentsOf(image), store.hasIntent(image)]).toEqual([1, true]);
    await records.recordFailed(image);
    expect([records.intentsOf(image), store.hasIntent(image)]).toEqual([0, false]);
  });

  it('know a rotated secret by its name only while few are recorded', async () => {
    const { records, may } = open();
    const rotated = { ...owner('a').secret, credentialHash: 'new' };
    await records.recordPulled(image, 'sha256:1', owner('a'));
    for (let count = 0; count < 99; count++) {
      await records.recordPulled(image, 'sha256:1', owner(`s${String(count)}`));
    }
    expect(await may([rotated])).toBe(false);
    expect(await may([owner('a').secret])).toBe(true);
  });

  it('leave intents of this process to it when they recover', async () => {
    const { store, records } = open();
    const runtime = new FakeRuntime();
    runtime.add({ id: 'sha256:1', repoTags: [image] });
    await records.recordIntent(image);
    await records.recover(runtime, { signal });
    expect(store.pulledRecord('sha256:1')).toBeUndefined();
    expect(store.hasIntent(image)).toBe(true);
  });
});

describe('ensure and pulls with records', () => {
  function harness() {
    const runtime = new FakeRuntime();
    runtime.onPull = ({ request, succeed, fail }) => {
      if (request.auth?.password === 'wrong') fail(new Error('401 Unauthorized'));
      else succeed('sha256:1');
    };
    const store = new MemoryRecordStore();
    const records = new ImagePullRecords(store, verificationPolicy('NeverVerifyPreloadedImages'));
    const node = { forRepository: () => Promise.resolve([]) };
    const hashOf = ({ password = '' }: { password?: string }) => `hash of ${password}`;
    const puller = new PullImage({ runtime, node, hashOf, listener: {} });
    const recorded = new RecordedPull(puller, records);
    const ensurer = new EnsureImage({
      runtime,
      puller: recorded,
      node,
      hashOf,
      listener: {},
      records,
    });
    const auth = (password: string) => ({ username: 'u', password });
    const ensure = (password?: string, pullPolicy?: 'Never') =>
      ensurer.ensure(
        { image, pullPolicy, auth: password === undefined ? undefined : auth(password) },
        { signal },
      );
    return { runtime, store, puller, recorded, auth, ensure };
  }

  it('let nobody use a private image who cannot prove that he may', async () => {
    const { runtime, store, ensure } = harness();
    runtime.add({ id: 'sha256:1', repoTags: [image] });
    expect(await ensure()).toMatchObject({ pulled: false });
    store.writeIntent(image);
    expect(await ensure('right')).toMatchObject({ pulled: true });
    expect(await ensure('right')).toMatchObject({ pulled: false });
    await expect(ensure('wrong')).rejects.toMatchObject({ reason: 'ErrImagePull' });
    await expect(ensure('wrong', 'Never')).rejects.toMatchObject({
      message: `Container image "${image}" is not present with pull policy of Never`,
    });
    expect(await ensure('right', 'Never')).toMatchObject({ pulled: false });
    expect(store.intents().items).toEqual([]);
    // Whoever may pull it without credentials proves that everybody may.
    expect(await ensure()).toMatchObject({ pulled: true });
    expect(await ensure('wrong')).toMatchObject({ pulled: false });
  });

  it('note what is pulled on the CRI socket', async () => {
    const { runtime, store, recorded, auth, ensure } = harness();
    runtime.add({ id: 'sha256:1', repoTags: [image] });
    const pull = (name: string, password: string) =>
      recorded.pull(
        PullImageRequest.fromPartial({ image: { image: name }, auth: auth(password) }),
        {
          signal,
        },
      );
    await expect(pull(image, 'wrong')).rejects.toThrow('401');
    await expect(pull('UPPER', 'right')).rejects.toMatchObject({ code: 'INVALID_IMAGE_NAME' });
    await pull(image, 'right');
    expect(store.intents().items).toEqual([]);
    expect(await ensure('right')).toMatchObject({ pulled: false });
    expect(await ensure()).toMatchObject({ pulled: true });
  });

  it('hold the answer until the image was looked at, which does not wait for the answer', async () => {
    const { runtime, store, puller, recorded, auth } = harness();
    runtime.add({ id: 'sha256:1', repoTags: [image] });
    let leave: () => void = () => undefined;
    await recorded.pull(PullImageRequest.fromPartial({ image: { image }, auth: auth('right') }), {
      signal,
      answered: new Promise((resolve) => (leave = resolve)),
    });
    expect(store.pulledRecords().items).toHaveLength(1);
    leave();
    await puller.published();
  });

  it('are dropped with their image, but not when it was pulled again after the look', async () => {
    const store = new MemoryRecordStore();
    let now = Date.parse('2026-01-02T03:04:05.900Z');
    const records = new ImagePullRecords(
      store,
      verificationPolicy('NeverVerifyPreloadedImages'),
      {},
      () => now,
    );
    const kept = () => store.pulledRecords().items.map(({ imageRef }) => imageRef);
    const pulled = (imageRef: string) => records.recordPulled(image, imageRef, owner('a'));
    for (const imageRef of ['sha256:here', 'sha256:gone', 'sha256:again']) await pulled(imageRef);
    now += 5000;
    const before = new Date(now);
    // The same second as the look, by the whole second of its record before it.
    await pulled('sha256:new');
    // The record stays as it is, of the time of the first pull.
    await pulled('sha256:again');
    records.prune(['sha256:here'], before);
    expect(kept()).toEqual(['sha256:here', 'sha256:again', 'sha256:new']);
    records.prune(['sha256:here', 'sha256:again'], new Date(now + 5000));
    expect(kept()).toEqual(['sha256:here', 'sha256:again']);
  });

  it('begin no pull that could not be noted', async () => {
    const { runtime, store, ensure } = harness();
    store.writeIntent = () => {
      throw new Error('disk full');
    };
    await expect(ensure()).rejects.toMatchObject({
      message: `Failed to record image pull intent for container image "${image}": disk full`,
      grpcStatus: 'INTERNAL',
    });
    expect(runtime.pulls).toHaveLength(0);
  });
});
