import { NamespaceMode, NamespaceOption, Signal } from '@stowage/cri-proto';
import { containerCourse, criState } from './container-state';
import { devices } from './devices';
import { environment } from './environment';
import { namespaces } from './namespaces';
import { criStopSignal, stopSignalName } from './stop-signal';

describe('namespaces', () => {
  const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
  type Fields = Parameters<typeof NamespaceOption.fromPartial>[0];
  const sandbox = { Id: 'a1', HostConfig: { NetworkMode: 'none', IpcMode: 'shareable' } };
  const onHost = {
    Id: 'a1',
    HostConfig: { NetworkMode: 'host', IpcMode: 'host', PidMode: 'host', UsernsMode: 'host' },
  };
  const target = { id: 'b2', sandboxId: 'a1', running: true };
  const ofSandbox = { NetworkMode: 'container:a1', IpcMode: 'container:a1' };
  const option = (fields: Fields | undefined) => fields && NamespaceOption.fromPartial(fields);

  it.each<[Fields | undefined, typeof sandbox, object]>([
    [undefined, sandbox, { PidMode: 'container:a1' }],
    [undefined, onHost, { PidMode: 'host', UTSMode: 'host' }],
    [{ pid: POD }, sandbox, { PidMode: 'container:a1' }],
    [{ pid: CONTAINER }, sandbox, {}],
    [{ pid: NODE }, sandbox, { PidMode: 'host' }],
    [{ pid: TARGET, targetId: 'b2' }, sandbox, { PidMode: 'container:b2' }],
    [{ pid: CONTAINER, network: NODE, ipc: NODE }, onHost, { UTSMode: 'host' }],
    [{ pid: CONTAINER, usernsOptions: { mode: NODE } }, sandbox, {}],
  ])('%j', (fields, of, expected) => {
    expect(namespaces(option(fields), false, of, target, {})).toEqual({
      ...ofSandbox,
      ...expected,
    });
  });

  const remapped = { SecurityOptions: ['name=userns'] };
  it.each([
    [CONTAINER, false, sandbox, undefined],
    [NODE, false, sandbox, 'host'],
    [CONTAINER, true, sandbox, 'host'],
    [CONTAINER, false, onHost, 'host'],
  ])('an engine with userns-remap: pid %s, privileged %s', (pid, privileged, of, mode) => {
    const found = namespaces(option({ pid }), privileged, of, undefined, remapped);
    expect(found.UsernsMode).toBe(mode);
  });

  it.each<[Fields, typeof target | undefined, string]>([
    [{ network: CONTAINER }, undefined, 'namespace_options.network: 1 is not allowed'],
    [{ network: NODE }, undefined, 'namespace_options.network: "NODE" is not allowed'],
    [{ ipc: NODE }, undefined, 'namespace_options.ipc: "NODE" is not allowed'],
    [
      { pid: JSON.parse('8') as NamespaceMode },
      undefined,
      'namespace_options.pid: 8 is not allowed',
    ],
    [{ pid: TARGET }, undefined, 'namespace_options.target_id: "" is not allowed'],
    [{ pid: TARGET }, { ...target, sandboxId: 'other' }, 'namespace_options.target_id: "b2"'],
    [{ pid: TARGET }, { ...target, running: false }, 'container b2 does not run'],
    [
      { usernsOptions: { mode: POD } },
      undefined,
      'namespace_options.userns_options.mode: 0 is not allowed; allowed: NODE',
    ],
  ])('refuses %j', (fields, to, message) => {
    expect(() => namespaces(option(fields), false, sandbox, to, {})).toThrow(message);
  });
});

describe('stop signals', () => {
  it.each([
    [Signal.SIGNAL_SIGTERM, 'SIGTERM'],
    [Signal.SIGNAL_SIGRTMIN, 'SIGRTMIN'],
    [Signal.SIGNAL_SIGRTMINPLUS3, 'SIGRTMIN+3'],
    [Signal.SIGNAL_SIGRTMAXMINUS14, 'SIGRTMAX-14'],
    [Signal.SIGNAL_SIGRTMAX, 'SIGRTMAX'],
    [Signal.SIGNAL_RUNTIME_DEFAULT, undefined],
  ])('%s is %s', (signal, name) => {
    expect(stopSignalName(signal)).toBe(name);
    if (name !== undefined) expect(criStopSignal(name)).toBe(signal);
  });

  it('refuses a number that stands for none', () => {
    expect(() => stopSignalName(JSON.parse('400') as Signal)).toThrow(
      'stop_signal: 400 is not allowed',
    );
  });

  it.each([
    ['', Signal.SIGNAL_SIGTERM],
    ['quit', Signal.SIGNAL_SIGQUIT],
    ['9', Signal.SIGNAL_SIGKILL],
    ['6', Signal.SIGNAL_SIGABRT],
    ['37', Signal.SIGNAL_SIGRTMINPLUS3],
    ['RTMIN+3', Signal.SIGNAL_SIGRTMINPLUS3],
    ['SIGRTMIN+20', Signal.SIGNAL_SIGRTMAXMINUS10],
    ['64', Signal.SIGNAL_SIGRTMAX],
    ['SIGWHAT', Signal.SIGNAL_RUNTIME_DEFAULT],
  ])('reads an engine’s "%s"', (name, signal) => {
    expect(criStopSignal(name)).toBe(signal);
  });
});

describe('devices', () => {
  const device = (permissions: string) => ({
    containerPath: '/dev/b',
    hostPath: '/dev/a',
    permissions,
  });

  it.each([
    ['', 'rwm'],
    ['r', 'r'],
  ])('with permissions "%s" have %s', (given, CgroupPermissions) => {
    expect(devices({ devices: [device(given)], CDIDevices: [] }, '1.41')).toEqual({
      Devices: [{ PathOnHost: '/dev/a', PathInContainer: '/dev/b', CgroupPermissions }],
    });
  });

  it('with other permissions are refused', () => {
    expect(() => devices({ devices: [device('rx')], CDIDevices: [] }, '1.41')).toThrow(
      'devices[0].permissions: "rx" is not allowed; allowed: letters of rwm',
    );
  });

  it('by CDI name are one request, where the engine has them', () => {
    const asked = { devices: [], CDIDevices: [{ name: 'v/c=1' }, { name: 'v/c=2' }] };
    expect(devices(asked, '1.44').DeviceRequests).toEqual([
      { Driver: 'cdi', DeviceIDs: ['v/c=1', 'v/c=2'] },
    ]);
    expect(() => devices(asked, '1.43')).toThrow(
      'CDI_devices: Docker Engine with API 1.43 has no CDI',
    );
  });
});

describe('environment', () => {
  const variable = (key: string, value: string | Uint8Array) => ({
    key,
    value: typeof value === 'string' ? Buffer.from(value) : value,
  });

  it('keeps order, and bytes that are text', () => {
    const given = [variable('B', 'x=y'), variable('A', ''), variable('B', 'grün\n')];
    expect(environment(given)).toEqual(['B=x=y', 'A=', 'B=grün\n']);
  });

  it.each([
    [variable('SECRET', Buffer.from([0x61, 0xff])), 'envs.SECRET: "bytes that are not UTF-8"'],
    [
      variable('SECRET', 'a\0b'),
      'envs.SECRET: "text with NUL" is not allowed; allowed: UTF-8 text',
    ],
    [variable('', 'v'), 'envs.key: "" is not allowed; allowed: a name without = and NUL'],
    [variable('A=B', 'v'), 'envs.key: "A=B" is not allowed'],
  ])('refuses %o', (given, message) => {
    expect(() => environment([given])).toThrow(message);
  });
});

describe('the state of a container', () => {
  const [created, running, exited, unknown] = [0, 1, 2, 3];
  it.each([
    ['created', false, created],
    ['created', true, exited],
    ['running', false, running],
    ['paused', false, running],
    ['restarting', false, running],
    ['exited', false, exited],
    ['dead', false, exited],
    ['removing', false, exited],
    ['', false, unknown],
  ])('%s, start failed %s: %i', (word, failed, state) => {
    expect(criState(word, failed)).toBe(state);
  });

  const Created = '2026-01-02T03:04:05.123456789Z';
  const at = 1767323045_123456789n;
  const never = '0001-01-01T00:00:00Z';
  const course = (State: object) => containerCourse({ Created, State });
  const started = { StartedAt: '2026-01-02T03:04:06Z', FinishedAt: never };
  const ended = { ...started, Status: 'exited', FinishedAt: '2026-01-02T03:04:07.5Z' };

  it.each([
    [
      { Status: 'created', StartedAt: never, FinishedAt: never, ExitCode: 0 },
      { state: created, startedAt: 0n, finishedAt: 0n, reason: '', exitCode: 0 },
    ],
    [
      { ...started, Status: 'running', ExitCode: 0 },
      { state: running, startedAt: 1767323046_000000000n, finishedAt: 0n, reason: '' },
    ],
    [
      { ...ended, ExitCode: 0 },
      { state: exited, finishedAt: 1767323047_500000000n, reason: 'Completed', exitCode: 0 },
    ],
    [
      { ...ended, ExitCode: 3 },
      { reason: 'Error', exitCode: 3 },
    ],
    [
      { ...ended, ExitCode: 137, OOMKilled: true },
      { reason: 'OOMKilled', exitCode: 137 },
    ],
    [
      {
        Status: 'created',
        StartedAt: never,
        FinishedAt: never,
        ExitCode: 127,
        Error: 'no such file',
      },
      {
        state: exited,
        startedAt: at,
        finishedAt: at,
        reason: 'ContainerCannotRun',
        message: 'no such file',
        exitCode: 127,
      },
    ],
    [
      { Status: 'exited', StartedAt: never, FinishedAt: never, ExitCode: 128, Error: 'shim' },
      { state: exited, startedAt: at, finishedAt: at, reason: 'ContainerCannotRun' },
    ],
  ])('%j', (state, expected) => {
    expect(course(state)).toMatchObject({ createdAt: at, ...expected });
  });

  it('is unknown, and no crash, where the engine leaves it out', () => {
    expect(containerCourse({})).toMatchObject({ state: unknown, createdAt: 0n, reason: '' });
  });
});
