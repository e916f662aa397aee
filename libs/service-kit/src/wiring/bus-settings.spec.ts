import { busSettings } from './bus-settings';

const config = {
  stateDir: '/var/lib/stowage/a',
  nodeName: 'node-1',
  natsServers: ['nats://h:4222'],
  natsCreds: '',
  natsNkeySeed: '',
  natsTlsCa: '',
  natsTlsCert: '',
  natsTlsKey: '',
  streamManaged: true,
  streamMaxAgeMs: 1000,
  streamMaxBytes: 2000,
  streamReplicas: 3,
  outboxMaxEvents: 3,
  outboxMaxBytes: 4000,
};

describe('busSettings', () => {
  it('gives files only where they are configured', () => {
    expect(busSettings('a', config)).toEqual({
      stateDir: '/var/lib/stowage/a',
      node: 'node-1',
      app: 'a',
      nats: { servers: ['nats://h:4222'] },
      stream: { manage: true, maxAgeMs: 1000, maxBytes: 2000, replicas: 3 },
      outbox: { maxEvents: 3, maxBytes: 4000 },
    });
  });

  it('logs in with an nkey where its seed is configured', () => {
    const { nats } = busSettings('a', { ...config, natsNkeySeed: '/seed' });
    expect(nats).toEqual({ servers: ['nats://h:4222'], nkeySeedFile: '/seed' });
  });

  it('asks for TLS when one of its files is configured', () => {
    const { nats } = busSettings('a', { ...config, natsCreds: '/c.creds', natsTlsCa: '/ca.pem' });
    expect(nats).toEqual({
      servers: ['nats://h:4222'],
      credsFile: '/c.creds',
      tls: { caFile: '/ca.pem' },
    });
  });
});
