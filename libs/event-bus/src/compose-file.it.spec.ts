import { TestNatsServer } from '@stowage/testing';
import { connect } from 'nats';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

/**
 * What docker-compose.yml starts, as far as that can be seen without an engine;
 * `npm run compose:check` starts it.
 */

interface Service {
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  ports?: string[];
  command?: string[];
  environment?: Record<string, string>;
}

const root = path.join(__dirname, '../../..');
const { services } = parse(readFileSync(path.join(root, 'docker-compose.yml'), 'utf8'), {
  merge: true,
}) as { services: Record<string, Service> };

it.each(Object.entries(services))('%s has no rights that it does not need', (_name, service) => {
  expect(service).toMatchObject({
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
  });
  expect((service.ports ?? []).every((port) => port.startsWith('127.0.0.1:'))).toBe(true);
});

it.each(['s3cret', '123e4', '0x12', '00'])(
  'its NATS server takes the services with the password %s, and nobody else',
  async (password) => {
    const file = readFileSync(path.join(root, 'deploy/nats/compose.conf'), 'utf8');
    const wanted = (text = '') => text.replaceAll(/\$\{NATS_PASSWORD:\?[^}]*\}/g, password);
    const env = { NATS_PASSWORD: wanted(services.nats?.environment?.NATS_PASSWORD) };
    const server = await TestNatsServer.absent({ env });
    try {
      await server.start({
        jetStream: false,
        config: file.replace('/data', path.join(server.dir, 'data')),
      });
      const { url } = server;
      await expect(connect({ servers: url })).rejects.toThrow('Authorization Violation');
      const address = wanted(services['gc-worker']?.environment?.STOWAGE_NATS_SERVERS);
      expect(address).toBe(`nats://stowage:${password}@nats:4222`);
      const connection = await connect({ servers: url, user: 'stowage', pass: password });
      await connection.jetstreamManager();
      await connection.close();
    } finally {
      await server.remove();
    }
  },
);
