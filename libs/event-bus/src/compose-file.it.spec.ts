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
  cap_add?: string[];
  security_opt?: string[];
  pid?: string;
  network_mode?: string;
  privileged?: boolean;
  ports?: string[];
  command?: string[];
  environment?: Record<string, string>;
}

const root = path.join(__dirname, '../../..');
const { services } = parse(readFileSync(path.join(root, 'docker-compose.yml'), 'utf8'), {
  merge: true,
}) as { services: Record<string, Service> };

const none = {
  read_only: true,
  cap_drop: ['ALL'],
  cap_add: undefined,
  security_opt: ['no-new-privileges:true'],
  pid: undefined,
  network_mode: undefined,
  privileged: undefined,
};
/** It works on the pods of the host: their processes, networks and mounts. */
const ofDockerShim = {
  read_only: false,
  cap_drop: ['ALL'],
  cap_add: ['SYS_ADMIN', 'SYS_PTRACE', 'KILL'],
  security_opt: ['no-new-privileges:true', 'apparmor=unconfined'],
  pid: 'host',
  network_mode: 'host',
  privileged: undefined,
};

it.each(Object.entries(services))('%s has no rights that it does not need', (name, service) => {
  const { read_only, cap_drop, cap_add, security_opt, pid, network_mode, privileged } = service;
  expect({ read_only, cap_drop, cap_add, security_opt, pid, network_mode, privileged }).toEqual(
    name === 'docker-shim' ? ofDockerShim : none,
  );
  expect((service.ports ?? []).every((port) => port.startsWith('127.0.0.1:'))).toBe(true);
});

it('docker-shim logs in on NATS from the network of the host, as the others do from theirs', () => {
  const address = (name: string) => services[name]?.environment?.STOWAGE_NATS_SERVERS ?? '';
  expect(address('docker-shim')).toBe(
    address('gc-worker').replace('@nats:4222', '@127.0.0.1:${NATS_PORT:-4222}'),
  );
  expect(services.nats?.ports).toEqual(['127.0.0.1:${NATS_PORT:-4222}:4222']);
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
