import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { commonKeys, listenKey } from './common-keys';
import { booleanKey, durationKey, enumKey, integerKey, listKey, stringKey } from './config-key';
import { defineConfig, keyNames } from './define-config';
import { loadConfig } from './load-config';

const definition = defineConfig({
  app: 'gc-worker',
  summary: 'Collects images.',
  keys: {
    ...commonKeys({ httpAddr: '127.0.0.1:9472', commands: ['plan'], allCommands: ['plan', 'run'] }),
    listen: listenKey('/run/stowage/x.sock'),
    imageGCHighThresholdPercent: integerKey({
      default: 85,
      min: 0,
      max: 100,
      meaning: 'High mark.',
      kubelet: { key: 'imageGCHighThresholdPercent', kind: 'number' },
    }),
    imageGCLowThresholdPercent: integerKey({
      default: 80,
      min: 0,
      max: 100,
      meaning: 'Low mark.',
      kubelet: { key: 'imageGCLowThresholdPercent', kind: 'number' },
    }),
    imageMinimumGCAgeMs: durationKey({
      default: 120_000,
      minMs: 0,
      maxMs: 86_400_000,
      meaning: 'Minimum age.',
      kubelet: { key: 'imageMinimumGCAge', kind: 'string', zeroIsUnset: true },
    }),
    dryRun: booleanKey({ default: false, meaning: 'Only plan.' }),
    order: enumKey({ values: ['age', 'size'], default: 'age', meaning: 'Order.' }),
    keep: listKey({ default: [], allowed: 'image names', meaning: 'Kept images.' }),
    token: stringKey({ default: '', meaning: 'A secret.', secret: true, pattern: /^\w*$/ }),
  },
  checks: [
    (config) =>
      config.imageGCLowThresholdPercent < config.imageGCHighThresholdPercent
        ? undefined
        : {
            key: 'imageGCLowThresholdPercent',
            allowed: `below imageGCHighThresholdPercent (${config.imageGCHighThresholdPercent})`,
          },
  ],
});

const noFile = (): never => {
  throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
};

interface World {
  argv?: string[];
  env?: Record<string, string>;
  files?: Record<string, string>;
  hostName?: string;
}

const load = ({ argv = [], env = {}, files = {}, hostName = 'Worker-1' }: World) =>
  loadConfig(definition, {
    argv,
    env,
    hostName,
    version: '1.2.3',
    readFile: (path) => {
      const text = files[path];
      if (text !== undefined) return text;
      throw Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' });
    },
    listFolder: (folder) => {
      const below = Object.keys(files).filter((file) => file.startsWith(`${folder}/`));
      if (below.length === 0) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' });
      const names = below.map((file) => file.slice(folder.length + 1).split('/'));
      return [...new Map(names.map(([name = '', ...rest]) => [name, rest.length > 0]))].map(
        ([name, isFolder]) => ({ name, isFolder }),
      );
    },
  });

async function config(world: World) {
  const outcome = await load(world);
  if (outcome.action !== 'run') throw new Error(outcome.output);
  return outcome.config;
}

const kubelet = (keys: string) =>
  `kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n${keys}\n`;

describe('sources', () => {
  it('are the defaults when nothing is given', async () => {
    expect(await config({})).toMatchObject({
      nodeName: 'worker-1',
      imageEndpoint: 'unix:///run/containerd/containerd.sock',
      natsServers: ['nats://127.0.0.1:4222'],
      stateDir: '/var/lib/stowage/gc-worker',
      listen: '/run/stowage/x.sock',
      imageMinimumGCAgeMs: 120_000,
      commands: ['plan'],
      stopTimeoutMs: 20_000,
    });
  });

  it('win in the order defaults, kubelet, file, environment', async () => {
    const files = {
      '/k': kubelet('imageGCHighThresholdPercent: 70\nimageGCLowThresholdPercent: 60'),
      '/c': 'gc-worker: {imageGCLowThresholdPercent: 50, order: size}',
    };
    const argv = ['--kubelet-config', '/k', '--config=/c'];
    expect(await config({ argv, files, env: { STOWAGE_ORDER: 'age' } })).toMatchObject({
      imageGCHighThresholdPercent: 70,
      imageGCLowThresholdPercent: 50,
      order: 'age',
    });
  });

  it('include the default file only where it exists', async () => {
    const files = { '/etc/stowage/config.yaml': 'nodeName: from-file' };
    expect((await config({ files })).nodeName).toBe('from-file');
    expect((await config({})).nodeName).toBe('worker-1');
  });

  it('let the section of the app win over the top of the file', async () => {
    const files = { '/c': 'logLevel: warn\ngc-worker:\n  logLevel: debug\n' };
    expect((await config({ argv: ['--config', '/c'], files })).logLevel).toBe('debug');
  });

  it('leave the sections of other apps alone, also of those to come', async () => {
    const files = { '/c': 'image-service: {whatever: 1}\ndocker-shim:\nnot-yet-known: {a: 1}\n' };
    expect((await config({ argv: ['--config', '/c'], files })).logLevel).toBe('info');
  });

  it.each(['[]', 'none'])('read natsServers: %s as no servers', async (text) => {
    const files = { '/c': `natsServers: ${text}` };
    expect((await config({ argv: ['--config', '/c'], files })).natsServers).toEqual([]);
  });

  it('derive the image endpoint from the runtime endpoint', async () => {
    const env = { STOWAGE_RUNTIME_ENDPOINT: '/run/crio/crio.sock' };
    expect((await config({ env })).imageEndpoint).toBe('unix:///run/crio/crio.sock');
  });

  it.each([
    ['STOWAGE_NATS_SERVERS', 'nats://a:1, b:2', { natsServers: ['nats://a:1', 'b:2'] }],
    ['STOWAGE_NATS_SERVERS', 'none', { natsServers: [] }],
    ['STOWAGE_NATS_SERVERS', '', { natsServers: ['nats://127.0.0.1:4222'] }],
    ['STOWAGE_IMAGE_MINIMUM_GC_AGE', '1h30m', { imageMinimumGCAgeMs: 5_400_000 }],
    ['STOWAGE_STREAM_MAX_BYTES', '1Gi', { streamMaxBytes: 2 ** 30 }],
    ['STOWAGE_DRY_RUN', 'Yes', { dryRun: true }],
    ['STOWAGE_COMMANDS', '', { commands: [] }],
    ['STOWAGE_KEEP', 'a,,b ,', { keep: ['a', 'b'] }],
    ['STOWAGE_HTTP_ADDR', '', { httpAddr: '' }],
    ['STOWAGE_LOG_LEVEL', '', { logLevel: 'info' }],
    ['STOWAGE_LISTEN', 'unix:///run/a.sock', { listen: '/run/a.sock' }],
  ])('read %s=%s', async (name, text, expected) => {
    expect(await config({ env: { [name]: text } })).toMatchObject(expected);
  });

  it.each([
    ['kubelet keys that no app maps', 'maxPods: 50', 85],
    ['null', 'imageGCHighThresholdPercent:', 85],
    ['a zero that kubelet reads as its default', 'imageMinimumGCAge: 0s', 85],
    ['a value', 'imageGCHighThresholdPercent: 90', 90],
  ])('take %s from a KubeletConfiguration as kubelet does', async (_what, keys, high) => {
    const values = await config({
      argv: ['--kubelet-config', '/k'],
      files: { '/k': kubelet(keys) },
    });
    expect([values.imageGCHighThresholdPercent, values.imageMinimumGCAgeMs]).toEqual([
      high,
      120_000,
    ]);
  });

  it.each([
    [
      'the last of two equal keys',
      'imageGCHighThresholdPercent: 70\nimageGCHighThresholdPercent: 90',
      90,
    ],
    ['numbers of YAML 1.1', 'imageGCHighThresholdPercent: 0x5A', 90],
    ['a number with a fraction that is whole', 'imageGCHighThresholdPercent: 90.0', 90],
    ['a merge key', 'x: &x {imageGCHighThresholdPercent: 90}\n<<: *x', 90],
    [
      'the first document',
      'imageGCHighThresholdPercent: 90\n---\nimageGCHighThresholdPercent: 91',
      90,
    ],
    [
      'the first document, whatever stands in the next',
      'imageGCHighThresholdPercent: 90\n---\n[',
      90,
    ],
    ['no key in another case', 'ImageGCHighThresholdPercent: 90', 85],
  ])('take %s from a KubeletConfiguration as kubelet does', async (_what, keys, high) => {
    const values = await config({
      argv: ['--kubelet-config', '/k'],
      files: { '/k': kubelet(keys) },
    });
    expect(values.imageGCHighThresholdPercent).toBe(high);
  });

  it('warn where kubelet would, with the nearest key', async () => {
    const keys = [
      'maxPods: 1',
      'maxPods: 2',
      'ImageGCHighThresholdPercent: 90',
      'evictionHard: {memory.available: 1Gi, memory.available: 2Gi}',
      'serializeImagePull: true',
      '---',
    ];
    const world = {
      argv: ['--kubelet-config', '/k'],
      files: { '/k': kubelet(keys.join('\n')) },
    };
    const notes = [
      '/k: the key maxPods stands twice, again on line 4; the last one counts',
      '/k: the key evictionHard.memory.available stands twice, again on line 6; the last one counts',
      '/k: the file has 2 documents; only the first counts',
      '/k: "ImageGCHighThresholdPercent" is no key of a KubeletConfiguration and is ignored; nearest: imageGCHighThresholdPercent',
      '/k: "serializeImagePull" is no key of a KubeletConfiguration and is ignored; nearest: serializeImagePulls',
    ];
    expect(await load(world)).toMatchObject({ action: 'run', notes });
    const check = await load({ ...world, argv: [...world.argv, '--check-config'] });
    expect(check).toMatchObject({ action: 'exit', code: 0 });
    for (const note of notes)
      expect(check).toMatchObject({ output: expect.stringContaining(`# warning: ${note}\n`) });
  });

  it('count the unknown keys that are too many to name', async () => {
    const keys = Array.from({ length: 50 }, (_, index) => `key${index}: 1`);
    const outcome = await load({
      argv: ['--kubelet-config', '/k'],
      files: { '/k': kubelet(keys.join('\n')) },
    });
    if (outcome.action !== 'run') throw new Error(outcome.output);
    expect(outcome.notes).toHaveLength(21);
    expect(outcome.notes.at(-1)).toBe('/k: 30 more unknown keys are ignored');
  });

  it('merge the drop-ins of kubelet’s --config-dir in the order of their names', async () => {
    const files = {
      '/k': kubelet(
        'imageGCHighThresholdPercent: 70\nimageGCLowThresholdPercent: 60\nimageMinimumGCAge: 9m',
      ),
      '/d/20-b.conf': kubelet('imageGCHighThresholdPercent: 90'),
      '/d/10-a.conf': kubelet('imageGCHighThresholdPercent: 95\nimageGCLowThresholdPercent: 50'),
      '/d/30/c.conf': kubelet('imageMinimumGCAge: null'),
      '/d/40-d.yaml': kubelet('imageGCLowThresholdPercent: 1'),
    };
    const both = await config({
      argv: ['--kubelet-config', '/k', '--kubelet-config-dir=/d'],
      files,
    });
    expect(both).toMatchObject({
      imageGCHighThresholdPercent: 90,
      imageGCLowThresholdPercent: 50,
      imageMinimumGCAgeMs: 120_000,
    });
    const alone = await load({ argv: ['--kubelet-config-dir', '/d', '--check-config'], files });
    expect(alone).toMatchObject({
      output: expect.stringContaining('imageGCLowThresholdPercent: 50 # kubelet file /d/10-a.conf'),
    });
  });

  it('tell of a variable that is misspelt, and not of other apps’ ones', async () => {
    const outcome = await load({
      env: { STOWAGE_NATS_SERVER: 'a', STOWAGE_SERIALIZE_PULLS: 'true', STOWAGE_LISTEN: '/a' },
    });
    expect(outcome).toMatchObject({
      notes: [
        'environment variable STOWAGE_NATS_SERVER is not known; nearest: STOWAGE_NATS_SERVERS',
      ],
    });
  });

  it.each([
    ['STOWAGE_IMAGE_GC_HIGH_TRESHOLD_PERCENT', 'STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT'],
    ['STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERZENTE', 'STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT'],
    ['STOWAG_NATS_SERVERS', 'STOWAGE_NATS_SERVERS'],
    ['STOWAGE__NATS_SERVERS', 'STOWAGE_NATS_SERVERS'],
    ['stowage_nats_servers', 'STOWAGE_NATS_SERVERS'],
  ])('--check-config warns of %s, and with --strict ends with 78', async (name, near) => {
    const warning = `environment variable ${name} is not known; nearest: ${near}`;
    const env = { [name]: '1' };
    expect(await load({ env, argv: ['--check-config'] })).toMatchObject({
      code: 0,
      output: expect.stringContaining(`# warning: ${warning}\n`) as string,
    });
    expect(await load({ env, argv: ['--check-config', '--strict'] })).toEqual({
      action: 'exit',
      code: 78,
      stream: 'stderr',
      output: `gc-worker: configuration: ${warning}`,
    });
  });

  it('--strict passes a configuration without warnings, and goes with --check-config alone', async () => {
    const env = { STOWAGE_NODE_NAME: 'a', PATH: '/bin', STORAGE_DIR: '/x', NATS_SERVERS: 'y' };
    expect(await load({ env, argv: ['--strict', '--check-config'] })).toMatchObject({ code: 0 });
    expect(await load({ env, argv: ['--strict'] })).toMatchObject({
      code: 64,
      output: 'gc-worker: --strict goes with --check-config',
    });
  });
});

const httpAllowed = 'host:port, [ipv6]:port, :port, unix:///path, or empty for off';
const wrong: [what: string, world: World, line: string][] = [
  [
    'an address',
    { env: { STOWAGE_HTTP_ADDR: '9471' } },
    `STOWAGE_HTTP_ADDR (environment) is "9471"; allowed: ${httpAllowed}`,
  ],
  [
    'a port',
    { env: { STOWAGE_HTTP_ADDR: ':70000' } },
    `STOWAGE_HTTP_ADDR (environment) is ":70000"; allowed: ${httpAllowed}`,
  ],
  [
    'a number',
    { env: { STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '85%' } },
    'STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT (environment) is "85%"; allowed: a whole number from 0 to 100',
  ],
  [
    'a number in the file, though the environment overrides it',
    {
      argv: ['--config', '/c'],
      files: { '/c': 'gc-worker: {imageGCHighThresholdPercent: 140}' },
      env: { STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '85' },
    },
    'gc-worker.imageGCHighThresholdPercent (/c) is 140; allowed: a whole number from 0 to 100',
  ],
  [
    'a choice',
    { env: { STOWAGE_LOG_LEVEL: 'verbose' } },
    'STOWAGE_LOG_LEVEL (environment) is "verbose"; allowed: trace, debug, info, warn, error, silent',
  ],
  [
    'a duration without unit',
    { env: { STOWAGE_STOP_TIMEOUT: '20' } },
    'STOWAGE_STOP_TIMEOUT (environment) is "20"; allowed: a duration from 1s to 10m, such as 90s, 2m or 1h30m',
  ],
  [
    'a size below its limit',
    { env: { STOWAGE_OUTBOX_MAX_BYTES: '1k' } },
    'STOWAGE_OUTBOX_MAX_BYTES (environment) is "1k"; allowed: a size from 1Mi to 16Gi, such as 500M, 1Gi or 1048576',
  ],
  [
    'a command that does not exist',
    { env: { STOWAGE_COMMANDS: 'plan,fly' } },
    'STOWAGE_COMMANDS (environment) is "plan,fly"; allowed: a list of plan, run; empty answers none',
  ],
  [
    'an endpoint',
    { env: { STOWAGE_RUNTIME_ENDPOINT: 'tcp://10.0.0.1:1234' } },
    'STOWAGE_RUNTIME_ENDPOINT (environment) is "tcp://10.0.0.1:1234"; allowed: unix:///path of a socket, at most 107 bytes of path',
  ],
  [
    'a socket path that does not fit',
    { env: { STOWAGE_LISTEN: `/${'x'.repeat(107)}` } },
    `STOWAGE_LISTEN (environment) is "/${'x'.repeat(107)}"; allowed: an absolute path of at most 107 bytes, with or without unix://`,
  ],
  [
    'a host name that is no node name',
    { hostName: 'bad_host' },
    'STOWAGE_NODE_NAME (default: host name, in lower case) is "bad_host"; allowed: a DNS subdomain in lower case, at most 253 characters, as Kubernetes node names are',
  ],
  [
    'a server, with its password kept back',
    { env: { STOWAGE_NATS_SERVERS: 'nats://me:hunter2@h/x y' } },
    'STOWAGE_NATS_SERVERS (environment) is "nats://[redacted]@h/x y"; allowed: one or more of [nats|tls]://[user:password@]host[:port], separated by commas, or none',
  ],
  [
    'a secret, kept back whole',
    { env: { STOWAGE_TOKEN: 'hunter 2' } },
    'STOWAGE_TOKEN (environment) is [redacted]; allowed: any text',
  ],
  [
    'a rule across keys',
    { env: { STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '85' } },
    'imageGCLowThresholdPercent (STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT, from environment) is 85; allowed: below imageGCHighThresholdPercent (85)',
  ],
  [
    'half of a key pair',
    { env: { STOWAGE_NATS_TLS_CERT: '/c.pem' } },
    'natsTlsCert (STOWAGE_NATS_TLS_CERT, from environment) is "/c.pem"; allowed: a path only together with natsTlsKey',
  ],
  [
    'an unknown key of a section',
    { argv: ['--config', '/c'], files: { '/c': 'gc-worker: {listne: /a}' } },
    'gc-worker.listne (/c) is not a known key here; nearest: listen',
  ],
  [
    'an unknown key at the top',
    { argv: ['--config', '/c'], files: { '/c': 'nodename: a' } },
    'nodename (/c) is not a known key; nearest: nodeName',
  ],
  [
    'an unknown section',
    { argv: ['--config', '/c'], files: { '/c': 'gcworker: {}' } },
    'gcworker (/c) is not a known key; nearest: gc-worker',
  ],
  [
    'a section that is misspelt',
    { argv: ['--config', '/c'], files: { '/c': 'gc-wroker: {listen: /a}' } },
    'gc-wroker (/c) is not a known key; nearest: gc-worker',
  ],
  [
    'a key of one app at the top',
    { argv: ['--config', '/c'], files: { '/c': 'listen: /a' } },
    'listen (/c) is not a known key here; it belongs in the section gc-worker',
  ],
  [
    'a section that is no mapping',
    { argv: ['--config', '/c'], files: { '/c': 'gc-worker: [a]' } },
    'gc-worker (/c) is a list; allowed: a mapping of keys to values',
  ],
  [
    'a file that is no mapping',
    { argv: ['--config', '/c'], files: { '/c': 'hello' } },
    '/c is a string; allowed: a mapping of keys to values',
  ],
  [
    'a file that is no YAML',
    { argv: ['--config', '/c'], files: { '/c': 'a: [1' } },
    '/c is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ] at line 1, column 6',
  ],
  [
    'a key given twice',
    { argv: ['--config', '/c'], files: { '/c': 'nodeName: a\nnodeName: b' } },
    '/c is not YAML: Map keys must be unique at line 2, column 1',
  ],
  [
    'a named file that is missing',
    { argv: ['--config', '/none'] },
    '/none cannot be read: no such file',
  ],
  [
    'a text where the file wants a number',
    { argv: ['--config', '/c'], files: { '/c': "gc-worker: {imageGCHighThresholdPercent: '85'}" } },
    'gc-worker.imageGCHighThresholdPercent (/c) is "85"; allowed: a whole number from 0 to 100',
  ],
  [
    'another kind of file than KubeletConfiguration',
    { argv: ['--kubelet-config', '/k'], files: { '/k': 'kind: Pod' } },
    'kind (/k) is "Pod"; allowed: KubeletConfiguration',
  ],
  [
    'another version of KubeletConfiguration',
    { argv: ['--kubelet-config', '/k'], files: { '/k': 'kind: KubeletConfiguration' } },
    'apiVersion (/k) is undefined; allowed: kubelet.config.k8s.io/v1beta1',
  ],
  [
    'another kind of file among the drop-ins',
    { argv: ['--kubelet-config-dir', '/d'], files: { '/d/a.conf': 'maxPods: 1' } },
    'kind (/d/a.conf) is undefined; allowed: KubeletConfiguration',
  ],
  [
    'a folder of drop-ins that is missing',
    { argv: ['--kubelet-config-dir', '/d'] },
    '/d cannot be read: no such folder',
  ],
  [
    'a value of the wrong kind in a drop-in',
    {
      argv: ['--kubelet-config-dir', '/d'],
      files: { '/d/a.conf': kubelet('imageMinimumGCAge: on') },
    },
    'imageMinimumGCAge (/d/a.conf) is true; allowed: a string, as kubelet reads it',
  ],
  [
    "text that is no YAML in kubelet's file",
    { argv: ['--kubelet-config', '/k'], files: { '/k': kubelet('a: [1') } },
    '/k is not YAML as Kubernetes reads it: Flow sequence in block collection must be sufficiently indented and end with a ] (line 4, column 1)',
  ],
  [
    "a value of the wrong kind in kubelet's file",
    {
      argv: ['--kubelet-config', '/k'],
      files: { '/k': kubelet('imageMinimumGCAge: 120') },
    },
    'imageMinimumGCAge (/k) is 120; allowed: a string, as kubelet reads it',
  ],
  [
    "a duration that is none in kubelet's file",
    {
      argv: ['--kubelet-config', '/k'],
      files: { '/k': kubelet('imageMinimumGCAge: 2 minutes') },
    },
    'imageMinimumGCAge (/k) is "2 minutes"; allowed: a duration from 0 to 24h, such as 90s, 2m or 1h30m',
  ],
];

describe('a wrong value', () => {
  it.each(wrong)('of %s ends with 78 and one line', async (_what, world, line) => {
    expect(await load(world)).toEqual({
      action: 'exit',
      code: 78,
      stream: 'stderr',
      output: `gc-worker: configuration: ${line}`,
    });
  });
});

describe('flags', () => {
  it('of the app alone are taken, shown in --help, and unknown to the others', async () => {
    const own = { ...definition, switches: { '--once': 'do it once, and exit' } };
    const input = { env: {}, version: '1', readFile: noFile };
    const once = await loadConfig(own, { ...input, argv: ['--once'] });
    expect(once).toMatchObject({ action: 'run', switch: '--once' });
    expect(await loadConfig(own, { ...input, argv: [] })).not.toHaveProperty('switch');
    const help = await loadConfig(own, { ...input, argv: ['--help'] });
    expect(help).toMatchObject({
      output: expect.stringContaining('  --once                 do it once, and exit\n') as string,
    });
    expect(await loadConfig(own, { ...input, argv: ['--once=1'] })).toMatchObject({
      code: 64,
      output: 'gc-worker: --once takes no value',
    });
    expect(await load({ argv: ['--once'] })).toMatchObject({ code: 64 });
  });

  it('beside one of them are read, checked, and refused without it', async () => {
    const key = durationKey({ default: 0, minMs: 1, maxMs: 3_600_000, meaning: '' });
    const own = {
      ...definition,
      switches: { '--once': 'do it once, and exit' },
      switchOptions: { '--within': { of: '--once', value: 'TIME', does: 'how long', key } },
    };
    const input = { env: {}, version: '1', readFile: noFile };
    const run = (...argv: string[]) => loadConfig(own, { ...input, argv });
    expect(await run('--once', '--within', '90s')).toMatchObject({
      switch: '--once',
      switchOptions: { '--within': 90_000 },
    });
    expect(await run('--within=2m', '--once')).toMatchObject({
      switchOptions: { '--within': 120_000 },
    });
    expect(await run('--once')).toMatchObject({ switchOptions: {} });
    expect(await run('--help')).toMatchObject({
      output: expect.stringMatching(
        /\[--once \[--within TIME\]\][^]*--within TIME {10}with --once: how long/,
      ),
    });
    for (const [argv, line] of [
      [['--within', '1m'], '--within goes with --once'],
      [['--once', '--within'], '--within needs a value'],
      [['--once', '--within', '7'], '--within is "7"; allowed: a duration from 1ms to 1h'],
    ] as const) {
      const output = expect.stringContaining(`gc-worker: ${line}`) as string;
      expect(await run(...argv)).toMatchObject({ code: 64, output });
    }
  });

  it.each([
    [
      ['--verbose'],
      'unknown flag "--verbose"; allowed: --help, --version, --check-config, --strict, --config, --kubelet-config, --kubelet-config-dir',
    ],
    [
      ['start'],
      'unknown argument "start"; allowed: --help, --version, --check-config, --strict, --config, --kubelet-config, --kubelet-config-dir',
    ],
    [['--config'], '--config needs a file'],
    [['--kubelet-config='], '--kubelet-config needs a file'],
    [['--help=yes'], '--help takes no value'],
  ])('%j ends with 64 and one line', async (argv, line) => {
    expect(await load({ argv })).toEqual({
      action: 'exit',
      code: 64,
      stream: 'stderr',
      output: `gc-worker: ${line}`,
    });
  });

  it('--version prints name and version', async () => {
    expect(await load({ argv: ['--version'] })).toMatchObject({
      code: 0,
      stream: 'stdout',
      output: 'gc-worker 1.2.3',
    });
  });

  it('--help names every key with variable, default and what is allowed', async () => {
    const outcome = await load({ argv: ['-h'] });
    const text = outcome.action === 'exit' ? outcome.output : '';
    for (const name of Object.keys(definition.keys)) {
      const { env, yaml } = keyNames(definition.keys, name);
      expect(text).toMatch(new RegExp(`^${env}  \\(${yaml}[*,)]`, 'm'));
    }
    expect(text).toContain(
      [
        'STOWAGE_IMAGE_MINIMUM_GC_AGE  (imageMinimumGCAge, kubelet: imageMinimumGCAge)',
        '    Minimum age.',
        '    default: 2m; allowed: a duration from 0 to 24h, such as 90s, 2m or 1h30m',
      ].join('\n'),
    );
  });

  const secrets = [
    'qj/xw',
    'qj,xw',
    'qj@xw',
    `qj"s's`,
    'qj xw',
    'qj:xw',
    'qj%xw%',
    'qj?s#s[1]{2}',
    'qj\\xw',
    'qjäxwwörd',
  ];
  it.each(secrets)('a NATS password such as %s is used, and never printed', async (password) => {
    for (const written of [password, encodeURIComponent(password)]) {
      const server = `nats://zvc:${written}@h:4222`;
      for (const given of [
        { env: { STOWAGE_NATS_SERVERS: `${server},nats://i` } },
        {
          argv: ['--config', '/c'],
          files: { '/c': `natsServers: ${JSON.stringify([server, 'nats://i'])}` },
        },
      ]) {
        expect((await config(given)).natsServers).toEqual([server, 'nats://i']);
        const argv = [...(given.argv ?? []), '--check-config'];
        const shown = await load({ ...given, argv });
        if (shown.action !== 'exit') throw new Error('exits');
        expect([shown.code, shown.output]).toEqual([
          0,
          expect.stringContaining('natsServers: ["nats://[redacted]@h:4222","nats://i"]'),
        ]);
      }
      for (const wrong of [':99999', '/x y', ':0', '?tls', ',', ':4222,nats://']) {
        const text = `nats://zvc:${written}@h${wrong}`;
        for (const given of [
          { env: { STOWAGE_NATS_SERVERS: text } },
          { argv: ['--config', '/c'], files: { '/c': `natsServers: ${JSON.stringify([text])}` } },
          {
            argv: ['--config', '/c'],
            files: { '/c': `natsServers: ${JSON.stringify({ [text]: [text] })}` },
          },
        ]) {
          const outcome = await load({ ...given, argv: [...(given.argv ?? []), '--check-config'] });
          if (outcome.action !== 'exit') throw new Error('exits');
          // A list that only ends in a comma is right.
          if (outcome.code !== 0) {
            expect([outcome.code, outcome.output]).toEqual([
              78,
              expect.stringMatching(/nats_?servers/i),
            ]);
          } else expect(wrong).toBe(',');
          expect(outcome.output).not.toMatch(/zvc|qj|xw/);
        }
      }
    }
  });

  it.each([
    [{ STOWAGE_NATS_CREDS: '/c', STOWAGE_NATS_SERVERS: 'nats://svc:hunter2@h' }, 'natsCreds'],
    [{ STOWAGE_NATS_NKEY_SEED: '/s', STOWAGE_NATS_SERVERS: 'nats://token@h' }, 'natsNkeySeed'],
    [{ STOWAGE_NATS_CREDS: '/c', STOWAGE_NATS_NKEY_SEED: '/s' }, 'natsCreds'],
  ])('two logins for NATS are refused by --check-config: %j', async (env, key) => {
    const outcome = await load({ argv: ['--check-config'], env });
    if (outcome.action !== 'exit') throw new Error('exits');
    expect(outcome.code).toBe(78);
    expect(outcome.output).toContain(`configuration: ${key} (`);
    expect(outcome.output).not.toMatch(/hunter2|token/);
  });

  it('--check-config prints YAML that can be given back, sources named, secrets kept back', async () => {
    const env = {
      STOWAGE_TOKEN: 'hunter2',
      STOWAGE_NATS_SERVERS: 'nats://me:hunter2@h:4222',
      STOWAGE_STOP_TIMEOUT: '90s',
    };
    const outcome = await load({ argv: ['--check-config'], env });
    if (outcome.action !== 'exit') throw new Error('exits');
    expect(outcome.code).toBe(0);
    expect(outcome.output).not.toContain('hunter2');
    expect(outcome.output).toContain('  natsServers: ["nats://[redacted]@h:4222"] # environment');
    expect(outcome.output).toContain('  stopTimeout: "1m30s" # environment');
    const files = {
      '/c': outcome.output.replace('[redacted]@', 'u@').replace('"[redacted]"', '""'),
    };
    expect((await config({ argv: ['--config', '/c'], files })).stopTimeoutMs).toBe(90_000);
  });

  it('--check-config with a wrong value ends with 78', async () => {
    const outcome = await load({ argv: ['--check-config'], env: { STOWAGE_LOG_LEVEL: 'x' } });
    expect(outcome).toMatchObject({ action: 'exit', code: 78 });
  });
});

describe('a file', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'load-config-'));
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it.each([
    ['--config', '#'],
    ['--kubelet-config', '#'],
  ])('above 256 KiB is refused by its size: %s', async (flag, filler) => {
    const file = path.join(folder, 'large.yaml');
    writeFileSync(file, `${filler.repeat(256 * 1024)}\n`);
    const input = { argv: [flag, file], env: {}, hostName: 'a', version: '1' };
    expect(await loadConfig(definition, input)).toMatchObject({
      code: 78,
      output: `gc-worker: configuration: ${file} cannot be read: it is too large; allowed: at most 256 KiB`,
    });
  });

  it('of the largest size, with as many keys as it can hold, is answered at once', async () => {
    const file = path.join(folder, 'keys.yaml');
    const keys = Array.from({ length: 26_000 }, (_, index) => `k${index}:\n`).join('');
    writeFileSync(file, keys.slice(0, 256 * 1024));
    const input = { argv: ['--config', file], env: {}, hostName: 'a', version: '1' };
    expect(await loadConfig(definition, input)).toMatchObject({
      code: 78,
      output: expect.stringContaining(`k0 (${file}) is not a known key`),
    });
  });

  it('that is a folder, or cannot be read, is named', async () => {
    const input = { argv: ['--config', folder], env: {}, hostName: 'a', version: '1' };
    expect(await loadConfig(definition, input)).toMatchObject({
      output: `gc-worker: configuration: ${folder} cannot be read: EISDIR: illegal operation on a directory, read`,
    });
  });

  it('of drop-ins is read from a real folder', async () => {
    mkdirSync(path.join(folder, 'd'));
    writeFileSync(path.join(folder, 'd', 'a.conf'), kubelet('imageGCHighThresholdPercent: 99'));
    writeFileSync(path.join(folder, 'd', 'a.conf.bak'), 'x: [');
    const argv = ['--kubelet-config-dir', path.join(folder, 'd')];
    const outcome = await loadConfig(definition, { argv, env: {}, hostName: 'a', version: '1' });
    expect(outcome).toMatchObject({ config: { imageGCHighThresholdPercent: 99 } });
  });
});

describe('a definition', () => {
  it('refuses two keys of one name', () => {
    const text = () => stringKey({ default: '', meaning: '' });
    expect(() =>
      defineConfig({ app: 'a', summary: '', keys: { age: text(), ageMs: text() } }),
    ).toThrow('two keys of a are called age');
  });
});
