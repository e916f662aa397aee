import { eventuallyPasses, freePort } from '@stowage/testing';
import { getEventListeners, once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { PortForwards } from './port-forward';

const target = new PortForwards().target({ id: 'f'.repeat(64), pid: 1, hostNetwork: true });

it('connects with a port of the host, and refuses one on which nothing listens', async () => {
  const session = new AbortController();
  const { signal } = session;
  const server = createServer((socket) => socket.end('hello'));
  await once(server.listen(0, '::1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const connection = await target.connect(port, { signal });
  const [said] = (await once(connection, 'data')) as [Buffer];
  expect(said.toString()).toBe('hello');
  connection.destroy();
  server.close();
  await expect(target.connect(await freePort(), { signal })).rejects.toThrow('ECONNREFUSED');
});

it('leaves nothing at the signal of a session, whose clients may try again and again', async () => {
  const { signal } = new AbortController();
  const port = await freePort();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await expect(target.connect(port, { signal })).rejects.toThrow();
  }
  await eventuallyPasses(() => expect(getEventListeners(signal, 'abort')).toHaveLength(0));
});
