import {
  ContainerState,
  MountPropagation,
  NamespaceMode,
  SecurityProfile_ProfileType,
  Signal,
  SupplementalGroupsPolicy,
  type ContainerConfig,
} from '@stowage/cri-proto';
import { eventually, startStack, type PushedImage, type Stack } from '@stowage/testing';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { ShimProcess } from '../testing/shim-process';

/** Containers of docker-shim on a real Docker Engine. */
let stack: Stack;
let shim: ShimProcess;
let image: PushedImage;
let sandboxId: string;

const { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED } = ContainerState;
const { Localhost, RuntimeDefault } = SecurityProfile_ProfileType;
type Given = NonNullable<Parameters<typeof ContainerConfig.fromPartial>[0]>;
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const podConfig = () => ({
  metadata: { name: 'web-0', namespace: 'shop', uid: 'uid-web-0', attempt: 0 },
  hostname: 'web-0',
  logDirectory: path.join(stack.dir, 'pod-logs'),
});

let containers = 0;
async function create(changes: Given = {}, inSandbox = sandboxId): Promise<string> {
  containers += 1;
  const name = `app-${containers}`;
  const { containerId } = await shim.runtime.createContainer({
    podSandboxId: inSandbox,
    config: {
      metadata: { name, attempt: 0 },
      image: { image: image.reference },
      logPath: `${name}/0.log`,
      ...changes,
    },
    sandboxConfig: podConfig(),
  });
  return containerId;
}
const script = (text: string): Given => ({ command: ['/bin/sh', '-c'], args: [text] });
const start = (containerId: string) => shim.runtime.startContainer({ containerId });
const stop = (containerId: string, timeout = 0n) =>
  shim.runtime.stopContainer({ containerId, timeout });
const remove = (containerId: string) => shim.runtime.removeContainer({ containerId });
const statusOf = async (containerId: string) =>
  (await shim.runtime.containerStatus({ containerId })).status!;
const listed = async (filter?: object) =>
  (await shim.runtime.listContainers({ filter })).containers;
const run = async (changes: Given = {}) => {
  const id = await create(changes);
  await start(id);
  return id;
};
const ended = async (id: string) => {
  await eventually(async () => (await statusOf(id)).state === CONTAINER_EXITED, {
    timeoutMs: 20_000,
    what: 'the end of the container',
  });
  return statusOf(id);
};
/** What a log in the CRI's format contains. */
const logged = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.split(' ').slice(3).join(' '))
    .join('\n')
    .trim();
/** What a container prints from its start to its end. */
const output = async (text: string, changes: Given = {}): Promise<string> => {
  const id = await run({ ...script(text), ...changes });
  const { logPath } = await ended(id);
  await remove(id);
  return logged(logPath);
};
interface Inspected {
  readonly State: { readonly Pid: number };
  readonly Config: Record<string, unknown>;
  readonly HostConfig: Record<string, unknown>;
}
const inspected = async (id: string) =>
  (await stack.docker.api('GET', `/containers/${id}/json`)) as Inspected;
const engineIds = async () =>
  ((await stack.docker.api('GET', '/containers/json?all=1')) as { Id: string }[]).map(
    ({ Id }) => Id,
  );
const context = (fields: NonNullable<NonNullable<Given['linux']>['securityContext']>): Given => ({
  linux: { securityContext: fields },
});
const refusal = (grpcStatus: string, message: string | RegExp = '') =>
  expect.objectContaining({
    grpcStatus,
    message: expect.stringMatching(message) as string,
  }) as Error;

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  shim = new ShimProcess(stack);
  image = await stack.pushImage({
    name: 'team/app',
    tag: ['1', '2'],
    files: {
      '/etc/passwd': 'root:x:0:0::/:/bin/sh\nweb:x:1000:2000::/:/bin/sh\n',
      '/etc/group': 'root:x:0:\nweb:x:2000:\nstaff:x:50:web\naudio:x:63:other\n',
    },
  });
  await shim.start();
  await shim.image.pullImage({ image: { image: image.reference } });
  sandboxId = (await shim.runtime.runPodSandbox({ config: podConfig() })).podSandboxId;
}, 60_000);

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

it('a container lives: created, running, ended, gone', async () => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const changes: Given = {
    labels: { app: 'web', 'io.kubernetes.container.name': 'main' },
    annotations: { 'example/note': 'a b' },
    image: { image: image.reference, userSpecifiedImage: 'web:latest' },
    stopSignal: Signal.SIGNAL_SIGUSR1,
    ...script('trap "echo bye; exit 4" USR1; echo up; while :; do sleep 0.1; done'),
  };
  const id = await create(changes);
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  const created = await statusOf(id);
  expect(created).toMatchObject({
    id,
    metadata: { name: `app-${containers}`, attempt: 0 },
    state: CONTAINER_CREATED,
    startedAt: 0n,
    finishedAt: 0n,
    reason: '',
    labels: changes.labels,
    annotations: changes.annotations,
    image: { image: 'web:latest' },
    imageRef: `docker-pullable://${image.repoDigest}`,
    logPath: path.join(stack.dir, 'pod-logs', `app-${containers}`, '0.log'),
    stopSignal: Signal.SIGNAL_SIGUSR1,
  });
  expect(created.createdAt).toBeGreaterThan(before);
  expect(existsSync(created.logPath)).toBe(true);

  await start(id);
  await start(id);
  const running = await statusOf(id);
  expect(running).toMatchObject({ state: CONTAINER_RUNNING, createdAt: created.createdAt });
  expect(running.startedAt).toBeGreaterThan(created.createdAt);
  expect(running.user?.linux).toMatchObject({ uid: 0n, gid: 0n });
  await eventually(() => logged(created.logPath) === 'up');
  const { info } = await shim.runtime.containerStatus({ containerId: id, verbose: true });
  expect(JSON.parse(info.info ?? '')).toEqual({
    sandboxID: sandboxId,
    pid: (await inspected(id)).State.Pid,
    runtime: 'runc',
    image: 'web:latest',
    logMode: 'copy',
  });
  // The sandbox shows it, too.
  const { containersStatuses } = await shim.runtime.podSandboxStatus({ podSandboxId: sandboxId });
  expect(containersStatuses.find((one) => one.id === id)).toMatchObject({
    state: CONTAINER_RUNNING,
  });

  await stop(id, 10n);
  await stop(id, 10n);
  const over = await statusOf(id);
  expect(over).toMatchObject({ state: CONTAINER_EXITED, exitCode: 4, reason: 'Error' });
  expect(over.finishedAt).toBeGreaterThan(running.startedAt);
  expect(logged(created.logPath)).toBe('up\nbye');
  expect(over.user).toEqual(running.user);
  await expect(start(id)).rejects.toThrow(refusal('FAILED_PRECONDITION'));

  await remove(id);
  await remove(id);
  await expect(statusOf(id)).rejects.toThrow(refusal('NOT_FOUND'));
  expect(await listed({ id })).toEqual([]);
  expect(existsSync(created.logPath)).toBe(true);
});

// D11
it('the image has one id in every answer, however the container named it', async () => {
  const { image: found } = await shim.image.imageStatus({ image: { image: image.reference } });
  const id = found?.id ?? '';
  for (const name of [image.reference, id, image.repoDigest, `docker://${id}`]) {
    const container = await create({ image: { image: name } });
    const [inList] = await listed({ id: container });
    const status = await statusOf(container);
    expect([name, inList?.imageId, inList?.imageRef, status.imageId]).toEqual([name, id, id, id]);
    // With containerd's images the id is the digest of the reference with one, too.
    const written = name.endsWith(id) && name !== image.repoDigest ? image.reference : name;
    expect([inList?.image?.image, status.image?.image]).toEqual([written, written]);
    await remove(container);
  }
  await expect(create({ image: { image: 'team/never:1' } })).rejects.toThrow(
    refusal('NOT_FOUND', /image "team\/never:1" not found/),
  );
  await expect(create({ image: undefined })).rejects.toThrow(refusal('INVALID_ARGUMENT'));
});

it('an image that a container uses is not removed', async () => {
  const id = await create();
  await expect(shim.image.removeImage({ image: { image: image.reference } })).rejects.toThrow(
    refusal('FAILED_PRECONDITION', id.slice(0, 12)),
  );
  await remove(id);
});

it('says why and how a container ended', async () => {
  const completed = await run(script('exit 0'));
  expect(await ended(completed)).toMatchObject({ exitCode: 0, reason: 'Completed', message: '' });
  const failed = await run(script('exit 3'));
  expect(await ended(failed)).toMatchObject({ exitCode: 3, reason: 'Error' });
  const tooLarge = await run({
    ...script('exec tail /dev/zero'),
    linux: { resources: { memoryLimitInBytes: 16n * 1024n * 1024n } },
  });
  expect(await ended(tooLarge)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
  for (const id of [completed, failed, tooLarge]) await remove(id);
}, 60_000);

it('a container that cannot be started has ended, in status and in lists, also after a restart', async () => {
  const id = await create({ command: ['/no/such/program'] });
  await expect(start(id)).rejects.toThrow(
    expect.objectContaining({
      message: expect.stringMatching(/\/no\/such\/program.*no such file/) as string,
    }) as Error,
  );
  const check = async () => {
    const status = await statusOf(id);
    expect(status).toMatchObject({
      state: CONTAINER_EXITED,
      reason: 'ContainerCannotRun',
      message: expect.stringContaining('no such file') as string,
      startedAt: status.createdAt,
      finishedAt: status.createdAt,
    });
    expect(status.exitCode).not.toBe(0);
    expect(await listed({ id })).toMatchObject([{ state: CONTAINER_EXITED }]);
  };
  await check();
  const { logPath } = await statusOf(id);
  expect(statSync(logPath).isFile()).toBe(true);
  await shim.stop();
  await shim.start();
  await check();
  await expect(start(id)).rejects.toThrow(refusal('FAILED_PRECONDITION'));
  await remove(id);
}, 30_000);

it('runs what the request says, and what the image says where it says nothing', async () => {
  const talking = await stack.pushImage({
    name: 'team/talking',
    entrypoint: ['/bin/echo', 'entry'],
    command: ['default'],
    env: ['FROM=image'],
  });
  await shim.image.pullImage({ image: { image: talking.reference } });
  const of = { image: { image: talking.reference }, command: [], args: [] };
  expect(await output('', of)).toBe('entry default');
  expect(await output('', { ...of, args: ['a b', 'c'] })).toBe('entry a b c');
  expect(await output('', { ...of, command: ['/bin/echo', 'mine'] })).toBe('mine');
  expect(await output('', { ...of, command: ['/bin/echo'], args: ['x'] })).toBe('x');
  const variables = {
    image: of.image,
    workingDir: '/tmp',
    envs: [
      { key: 'B', value: bytes('1=2') },
      { key: 'A', value: bytes('grün') },
      { key: 'FROM', value: bytes('request') },
    ],
  };
  expect(await output('pwd; echo $B $A $FROM; hostname', variables)).toBe(
    '/tmp\n1=2 grün request\nweb-0',
  );
  const secret = { key: 'KEY', value: new Uint8Array([0x73, 0xff]) };
  await expect(create({ envs: [secret] })).rejects.toThrow(
    refusal('INVALID_ARGUMENT', /^envs\.KEY: "bytes that are not UTF-8"/),
  );
  const id = await create({ tty: true, stdin: true, stdinOnce: true });
  expect((await inspected(id)).Config).toMatchObject({
    Tty: true,
    OpenStdin: true,
    StdinOnce: true,
    Healthcheck: { Test: ['NONE'] },
  });
  await remove(id);
});

/** As Status says it of the default runtime. */
const mountsRecursiveReadOnly = async (): Promise<boolean> => {
  const { runtimeHandlers } = await shim.runtime.status({});
  return (
    runtimeHandlers.find(({ name }) => name === '')?.features?.recursiveReadOnlyMounts ?? false
  );
};
const minorApi = async (): Promise<number> => {
  const { info } = await shim.runtime.status({ verbose: true });
  const { apiVersion } = JSON.parse(info.config ?? '') as { apiVersion: string };
  return Number(apiVersion.split('.')[1]);
};

// D22
it('mounts, with what is mounted below, and nothing that it cannot', async () => {
  const folder = path.join(stack.dir, 'mounted');
  const below = path.join(folder, 'below');
  mkdirSync(below, { recursive: true });
  writeFileSync(path.join(folder, 'file'), 'content');
  const mount = (...args: string[]) => {
    const { status, stderr } = spawnSync(args[0]!, args.slice(1), { encoding: 'utf8' });
    expect([stderr, status]).toEqual(['', 0]);
  };
  mount('mount', '--bind', folder, folder);
  mount('mount', '--make-shared', folder);
  mount('mount', '-t', 'tmpfs', 'tmpfs', below);
  try {
    const readOnly = { containerPath: '/ro', hostPath: folder, readonly: true };
    const missing = path.join(stack.dir, 'made', 'by', 'mount');
    const mounts = [
      readOnly,
      { containerPath: '/rw', hostPath: missing },
      {
        containerPath: '/slave',
        hostPath: folder,
        propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
      },
      {
        containerPath: '/both',
        hostPath: folder,
        propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
      },
    ];
    const id = await run({
      mounts,
      ...script(
        'cat /ro/file; echo; touch /ro/x 2>/dev/null || echo read-only; touch /ro/below/x && echo writable; ' +
          'touch /rw/y; until [ -e /slave/later/z ]; do sleep 0.1; done; ls /ro/later; echo seen',
      ),
    });
    const status = await statusOf(id);
    expect(status.mounts).toMatchObject(mounts);
    expect(existsSync(path.join(missing, 'y'))).toBe(true);
    const later = path.join(folder, 'later');
    mkdirSync(later);
    mount('mount', '-t', 'tmpfs', 'tmpfs', later);
    writeFileSync(path.join(later, 'z'), '');
    await ended(id);
    // In the private mount the folder is there, and nothing is mounted on it.
    expect(logged(status.logPath)).toBe('content\nread-only\nwritable\nseen');
    await remove(id);
    const recursive = { ...readOnly, recursiveReadOnly: true };
    if (await mountsRecursiveReadOnly()) {
      const frozen = 'cat /ro/file; echo; touch /ro/below/x 2>/dev/null || echo read-only';
      expect(await output(frozen, { mounts: [recursive] })).toBe('content\nread-only');
    } else {
      await expect(create({ mounts: [recursive] })).rejects.toThrow(
        refusal('INVALID_ARGUMENT', /recursive_read_only/),
      );
    }
  } finally {
    spawnSync('umount', ['--recursive', '--lazy', folder]);
  }
  const refused: [object, string, RegExp][] = [
    [{ hostPath: '' }, 'INVALID_ARGUMENT', /host_path/],
    [{ recursiveReadOnly: true }, 'INVALID_ARGUMENT', /recursive_read_only/],
    [
      { uidMappings: [{ hostId: 1, containerId: 0, length: 1 }] },
      'INVALID_ARGUMENT',
      /uidMappings/,
    ],
  ];
  for (const [fields, code, message] of refused) {
    const mounts = [{ containerPath: '/in', hostPath: folder, ...fields }];
    await expect(create({ mounts })).rejects.toThrow(refusal(code, message));
  }
}, 30_000);

// D24
it('images are mounted, or the engine has none and it is said', async () => {
  const minor = await minorApi();
  const mount = { containerPath: '/in', image: { image: image.reference }, readonly: true };
  if (minor < 48) {
    await expect(create({ mounts: [mount] })).rejects.toThrow(
      refusal('UNIMPLEMENTED', /mounts\[0\]\.image/),
    );
  } else {
    const read = (imageSubPath: string, file: string) =>
      output(`head -n 1 ${file}`, { mounts: [{ ...mount, imageSubPath }] });
    expect(await read('', '/in/etc/group')).toBe('root:x:0:');
    expect(await read('etc', '/in/group')).toBe('root:x:0:');
    const { mounts, imageId } = await statusOf(await create({ mounts: [mount] }));
    expect(mounts[0]?.image?.imageRef).toBe(imageId);
    for (const bad of [
      { imageSubPath: 'nowhere' },
      { imageSubPath: '/etc' },
      { readonly: false },
    ]) {
      await expect(create({ mounts: [{ ...mount, ...bad }] })).rejects.toThrow(
        refusal('INVALID_ARGUMENT', /mounts\[0\]/),
      );
    }
  }
});

it('devices come by CDI name, or the engine has none and it is said', async () => {
  const devices = { CDIDevices: [{ name: 'stowage.test/class=one' }] };
  if ((await minorApi()) < 44) {
    await expect(create(devices)).rejects.toThrow(refusal('UNIMPLEMENTED', /CDI_devices/));
    return;
  }
  const one = { name: 'one', containerEdits: { env: ['CDI_DEVICE=one'] } };
  const spec = { cdiVersion: '0.5.0', kind: 'stowage.test/class', devices: [one] };
  writeFileSync(path.join(stack.docker.cdiDir, 'test.json'), JSON.stringify(spec));
  expect(await output('echo $CDI_DEVICE', devices)).toBe('one');
});

describe('users and groups', () => {
  const groups = 'id -u; id -g; grep ^Groups: /proc/self/status';
  const { Merge, Strict } = SupplementalGroupsPolicy;
  const user = (value: bigint) => ({ runAsUser: { value } });
  const group = (value: bigint) => ({ runAsGroup: { value } });

  // D23
  it.each([
    [{}, '0', '0', []],
    [{ ...user(1000n), supplementalGroups: [1234n] }, '1000', '2000', ['50', '1234']],
    [{ runAsUsername: 'web' }, '1000', '2000', ['50']],
    [{ ...user(1000n), ...group(77n), supplementalGroups: [1234n] }, '1000', '77', ['50', '1234']],
    [
      { ...user(1000n), supplementalGroupsPolicy: Strict, supplementalGroups: [1234n] },
      '1000',
      '2000',
      ['1234'],
    ],
    [{ ...user(1000n), ...group(77n), supplementalGroupsPolicy: Strict }, '1000', '77', []],
  ])('%j', async (fields, uid, gid, listedGroups) => {
    const asked = { supplementalGroupsPolicy: Merge, ...fields };
    const id = await run({ ...script(`${groups}; sleep 0.5`), ...context(asked) });
    const { user: seen } = await statusOf(id);
    const { logPath } = await ended(id);
    const [printedUid, printedGid, line = ''] = logged(logPath).split('\n');
    const printed = line.replace('Groups:', '').trim().split(/\s+/).filter(Boolean);
    expect([printedUid, printedGid]).toEqual([uid, gid]);
    // Engines differ in whether the group itself is among them.
    expect(printed.filter((one) => one !== gid && one !== '0').sort()).toEqual(
      [...listedGroups].sort(),
    );
    expect(seen?.linux).toMatchObject({ uid: BigInt(uid), gid: BigInt(gid) });
    expect(seen?.linux?.supplementalGroups.map(String)).toEqual(printed);
    expect((await statusOf(id)).user).toEqual(seen);
    await remove(id);
  });

  it('leaves no container behind for the image’s files', async () => {
    const temporary = await stack.docker.api(
      'GET',
      `/containers/json?all=1&filters=${encodeURIComponent('{"label":["io.stowage.docker-shim.temporary"]}')}`,
    );
    expect(temporary).toEqual([]);
    await expect(create(context(group(5n)))).rejects.toThrow(
      refusal('INVALID_ARGUMENT', /run_as_group/),
    );
  });
});

// D25
it('limits are those asked for, and follow updates', async () => {
  const mebibytes = (count: number) => BigInt(count) * 1024n * 1024n;
  const id = await run({
    linux: {
      resources: {
        memoryLimitInBytes: mebibytes(64),
        cpuShares: 512n,
        cpuPeriod: 100_000n,
        cpuQuota: 50_000n,
        oomScoreAdj: 900n,
        hugepageLimits: [{ pageSize: '2MB', limit: 0n }],
      },
    },
  });
  const { Pid } = (await inspected(id)).State;
  const cgroup = /^\d+:memory:(.*)$/m.exec(readFileSync(`/proc/${Pid}/cgroup`, 'utf8'))?.[1];
  const limit = () => {
    const [folder, name] =
      cgroup === undefined
        ? [/^0::(.*)$/m.exec(readFileSync(`/proc/${Pid}/cgroup`, 'utf8'))?.[1] ?? '', 'memory.max']
        : [`memory${cgroup}`, 'memory.limit_in_bytes'];
    return BigInt(readFileSync(path.join('/sys/fs/cgroup', folder, name), 'utf8').trim());
  };
  const resources = async () => (await statusOf(id)).resources?.linux;
  expect(limit()).toBe(mebibytes(64));
  expect(await resources()).toMatchObject({
    memoryLimitInBytes: mebibytes(64),
    cpuShares: 512n,
    cpuPeriod: 100_000n,
    cpuQuota: 50_000n,
    oomScoreAdj: 900n,
  });
  const update = (linux: object | undefined) =>
    shim.runtime.updateContainerResources({ containerId: id, linux });
  for (const size of [256, 128]) {
    await update({ memoryLimitInBytes: mebibytes(size) });
    expect(limit()).toBe(mebibytes(size));
    const { memoryLimitInBytes, memorySwapLimitInBytes, cpuShares } = (await resources())!;
    expect([memoryLimitInBytes, cpuShares]).toEqual([mebibytes(size), 512n]);
    // Without swap, or with what a kernel that does not account for it says.
    expect([mebibytes(size), -1n]).toContain(memorySwapLimitInBytes);
  }
  await update({ cpuQuota: 25_000n, cpuShares: 256n });
  expect(await resources()).toMatchObject({
    cpuQuota: 25_000n,
    cpuShares: 256n,
    cpuPeriod: 100_000n,
    memoryLimitInBytes: mebibytes(128),
  });
  const before = await resources();
  await update(undefined);
  await update({});
  expect(await resources()).toEqual(before);
  await stop(id);
  await update({ cpuShares: 128n });
  expect(await resources()).toMatchObject({ cpuShares: 128n });
  await remove(id);
  await expect(update({ cpuShares: 2n })).rejects.toThrow(refusal('NOT_FOUND'));
  if (cgroup !== undefined) {
    const unified = { linux: { resources: { unified: { 'memory.high': '1000' } } } };
    await expect(create(unified)).rejects.toThrow(refusal('INVALID_ARGUMENT', /unified/));
  }
});

describe('security', () => {
  const seccomp = (localhostRef: string) =>
    context({ seccomp: { profileType: Localhost, localhostRef } });

  it('a seccomp profile of the node applies, and one that is not there makes no container', async () => {
    const profile = path.join(stack.dir, 'no-mkdir.json');
    writeFileSync(
      profile,
      JSON.stringify({
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
      }),
    );
    const tried =
      'mkdir /tmp/x 2>/dev/null && echo made || echo refused; grep ^Seccomp: /proc/1/status';
    const own = { pid: NamespaceMode.CONTAINER };
    const withProfile = (fields: object) => context({ namespaceOptions: own, ...fields });
    expect(
      await output(
        tried,
        withProfile({ seccomp: { profileType: Localhost, localhostRef: profile } }),
      ),
    ).toBe('refused\nSeccomp:\t2');
    expect(await output(tried, withProfile({}))).toBe('made\nSeccomp:\t0');
    expect(await output(tried, withProfile({ seccomp: { profileType: RuntimeDefault } }))).toBe(
      'made\nSeccomp:\t2',
    );
    const before = await engineIds();
    await expect(create(seccomp(path.join(stack.dir, 'gone.json')))).rejects.toThrow(
      refusal('INVALID_ARGUMENT', /gone\.json/),
    );
    expect(await engineIds()).toEqual(before);
  });

  it('capabilities, privileges and paths are as asked for', async () => {
    const effective = async (fields: object) => {
      const line = await output('grep ^CapEff: /proc/self/status', context(fields));
      return BigInt(`0x${line.replace('CapEff:', '').trim()}`);
    };
    const netAdmin = 1n << 12n;
    const chown = 1n;
    const usual = await effective({});
    expect([usual & netAdmin, usual & chown]).toEqual([0n, chown]);
    const changed = await effective({
      capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['CHOWN'] },
    });
    expect([changed & netAdmin, changed & chown]).toEqual([netAdmin, 0n]);
    expect(await effective({ capabilities: { dropCapabilities: ['ALL'] } })).toBe(0n);
    await expect(
      create(context({ capabilities: { addAmbientCapabilities: ['CHOWN'] } })),
    ).rejects.toThrow(refusal('UNIMPLEMENTED', /add_ambient_capabilities/));
    expect(
      await output(
        'grep ^NoNewPrivs: /proc/self/status; touch /x 2>/dev/null || echo read-only',
        context({ noNewPrivs: true, readonlyRootfs: true }),
      ),
    ).toBe('NoNewPrivs:\t1\nread-only');
    const sizes = 'cat /proc/timer_list /proc/keys 2>/dev/null | wc -c';
    const maskedPaths = ['/proc/timer_list', '/proc/keys'];
    expect(await output(sizes, context({ maskedPaths }))).toBe('0');
    expect(Number(await output(sizes, context({})))).toBeGreaterThan(0);
    const write = '[ -w /proc/sys/kernel/domainname ] && mount | grep -c " /proc/sys "';
    expect(await output(`${write}; true`, context({ readonlyPaths: ['/proc/sys'] }))).toBe('1');
    expect(await output(`${write}; true`, context({}))).toBe('0');
  }, 30_000);

  it('processes of others are seen where they are asked for', async () => {
    const target = await run(script('exec sleep 12345'));
    const seen = async (pid: NamespaceMode, targetId = '') =>
      (await output('ps', context({ namespaceOptions: { pid, targetId } }))).includes(
        'sleep 12345',
      );
    expect(await seen(NamespaceMode.CONTAINER)).toBe(false);
    expect(await seen(NamespaceMode.POD)).toBe(true);
    expect(await seen(NamespaceMode.NODE)).toBe(true);
    const alone = await run({
      ...script('exec sleep 54321'),
      ...context({ namespaceOptions: { pid: NamespaceMode.CONTAINER } }),
    });
    const text = await output(
      'ps',
      context({ namespaceOptions: { pid: NamespaceMode.TARGET, targetId: alone } }),
    );
    expect([text.includes('sleep 54321'), text.includes('sleep 12345')]).toEqual([true, false]);
    await stop(alone);
    await expect(
      create(context({ namespaceOptions: { pid: NamespaceMode.TARGET, targetId: alone } })),
    ).rejects.toThrow(refusal('FAILED_PRECONDITION'));
    for (const id of [alone, target]) await remove(id);
  }, 30_000);
});

it('a second, shorter stop takes effect while the first one waits', async () => {
  const id = await run(script('trap "" TERM; while :; do sleep 1; done'));
  const gaveUp = new AbortController();
  const first = shim.runtime
    .stopContainer({ containerId: id, timeout: 100n }, { signal: gaveUp.signal })
    .catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 300));
  gaveUp.abort();
  expect(await first).toBeInstanceOf(Error);
  expect((await statusOf(id)).state).toBe(CONTAINER_RUNNING);
  const before = performance.now();
  await stop(id, 1n);
  expect(performance.now() - before).toBeLessThan(8000);
  expect(await statusOf(id)).toMatchObject({ state: CONTAINER_EXITED, exitCode: 137 });
  await remove(id);
}, 30_000);

// D20
it('what vanished behind its back can be stopped and removed', async () => {
  const id = await run();
  await stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
  await stop(id, 10n);
  await remove(id);
  await remove(id);
  expect(await listed({ id })).toEqual([]);
  await expect(start(id)).rejects.toThrow(refusal('NOT_FOUND'));
});

// D19
it('a leftover under the wanted name is in nobody’s way', async () => {
  const metadata = { name: 'again', attempt: 3 };
  const first = await run({ metadata, ...script('exit 0') });
  await ended(first);
  const second = await create({ metadata });
  expect(second).not.toBe(first);
  expect(await listed({ id: first })).toEqual([]);
  await start(second);
  await expect(create({ metadata })).rejects.toThrow(refusal('ALREADY_EXISTS'));
  expect((await statusOf(second)).state).toBe(CONTAINER_RUNNING);
  await remove(second);
});

it('lists by id, state, sandbox and labels', async () => {
  const other = (
    await shim.runtime.runPodSandbox({
      config: { metadata: { name: 'db', namespace: 'shop', uid: 'uid-db', attempt: 0 } },
    })
  ).podSandboxId;
  const a = await create({ labels: { tier: 'front', n: '1' } });
  const b = await run({ labels: { tier: 'front', n: '2' } });
  const c = await create({ labels: { tier: 'back' } }, other);
  const ids = async (filter?: object) => (await listed(filter)).map(({ id }) => id).sort();
  const state = (value: ContainerState) => ({ state: { state: value } });
  expect(await ids()).toEqual([a, b, c].sort());
  expect(await ids({ id: a })).toEqual([a]);
  expect(await ids({ id: a.slice(0, 12) })).toEqual([a]);
  expect(await ids({ podSandboxId: other })).toEqual([c]);
  expect(await ids({ podSandboxId: other.slice(0, 10) })).toEqual([c]);
  expect(await ids(state(CONTAINER_RUNNING))).toEqual([b]);
  expect(await ids(state(CONTAINER_CREATED))).toEqual([a, c].sort());
  expect(await ids({ labelSelector: { tier: 'front' } })).toEqual([a, b].sort());
  expect(await ids({ labelSelector: { tier: 'front', n: '1' } })).toEqual([a]);
  expect(await ids({ ...state(CONTAINER_RUNNING), labelSelector: { n: '1' } })).toEqual([]);
  const streamed: string[] = [];
  for await (const { containers: some } of shim.runtime.streamContainers({})) {
    streamed.push(...some.map(({ id }) => id));
  }
  expect(streamed.sort()).toEqual([a, b, c].sort());
  // The beginning of several ids.
  expect((await statusOf(b.slice(0, 12))).id).toBe(b);
  const [inList] = await listed({ id: b });
  expect(inList?.createdAt).toBe((await statusOf(b)).createdAt);
  await shim.runtime.stopPodSandbox({ podSandboxId: other });
  await expect(create({}, other)).rejects.toThrow(refusal('FAILED_PRECONDITION'));
  await shim.runtime.removePodSandbox({ podSandboxId: other });
  await expect(create({}, other)).rejects.toThrow(refusal('NOT_FOUND'));
  expect(await ids()).toEqual([a, b].sort());
  await shim.runtime.stopPodSandbox({ podSandboxId: sandboxId });
  expect((await statusOf(b)).state).toBe(CONTAINER_EXITED);
  await shim.runtime.removePodSandbox({ podSandboxId: sandboxId });
  expect(await engineIds()).toEqual([]);
}, 30_000);
