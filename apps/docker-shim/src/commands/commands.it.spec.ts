import path from 'node:path';
import { dockerShim } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { askLocalService, sendLocalCommand } from '@stowage/commands/local';
import { eventually, ServiceFixture } from '@stowage/testing';

/** docker-shim asked by commands, on NATS and on its socket, while there is no engine. */

const options = { timeoutMs: 10_000, strict: true };
let fixture: ServiceFixture;
let socketPath: string;
let endpoint: string;

beforeAll(async () => {
  fixture = await ServiceFixture.start();
  const { dir } = fixture.stack;
  socketPath = path.join(dir, 'docker-shim.cmd.sock');
  endpoint = `unix://${path.join(dir, 'no-engine.sock')}`;
  await fixture.start(
    'docker-shim',
    {
      STOWAGE_COMMAND_SOCKET: socketPath,
      STOWAGE_LISTEN: path.join(dir, 'docker-shim.sock'),
      STOWAGE_DOCKER_ENDPOINT: endpoint,
    },
    { ready: 'healthz' },
  );
});
afterAll(() => fixture.down());

it('status says that the engine is away, the same in both ways', async () => {
  const local = await eventually(async () => {
    const status = await sendLocalCommand(socketPath, dockerShim.status, {}, options);
    return /ENOENT|no such file/i.test(status.reason ?? '') ? status : undefined;
  });
  expect(local).toMatchObject({
    ...{ endpoint, available: false, networkMode: 'cni', logsMode: 'copy' },
    socket: path.join(fixture.stack.dir, 'docker-shim.sock'),
  });
  expect(local).not.toHaveProperty('engineVersion');
  const remote = await sendCommand(fixture.nats, fixture.node, dockerShim.status, {}, options);
  expect(remote).toEqual(local);
});

it('events are answered on the node, and on NATS where they are allowed', async () => {
  const { events } = await sendLocalCommand(socketPath, dockerShim.events, {}, options);
  expect(events).toEqual(expect.any(Array));
  await expect(
    sendCommand(fixture.nats, fixture.node, dockerShim.events, {}, options),
  ).rejects.toMatchObject({ grpcStatus: 'PERMISSION_DENIED' });
});

it('says who it is', async () => {
  const { app, verbs } = await askLocalService(socketPath, 'docker-shim', options);
  expect([app, verbs.map(({ verb }) => verb).sort()]).toEqual([
    'docker-shim',
    ['events', 'status'],
  ]);
});
