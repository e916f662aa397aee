import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { GivenFlags } from '../command-line/define';
import { contextsPath, readContexts, writeCurrentContext } from './contexts';
import { openReach, reachContext } from './open-reach';

let dir: string;
let env: { STOWCTL_CONTEXTS: string };

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowctl-contexts-'));
  env = { STOWCTL_CONTEXTS: path.join(dir, 'contexts.yaml') };
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const write = (text: string) => {
  writeFileSync(env.STOWCTL_CONTEXTS, text, { mode: 0o644 });
};

const flags = (given: Record<string, string | true>): GivenFlags => ({
  has: (name) => name in given,
  text: (name) => (typeof given[name] === 'string' ? given[name] : undefined),
});

const prod = `# ours
current: prod
contexts:
  prod:
    servers: [tls://nats.example:4222]
    creds: prod.creds
    nodes: [worker-1]
  here:
    sockets: /run/other
`;

it('the file is in the folder of configurations, or where the variable says', () => {
  expect(contextsPath({ HOME: '/home/a' })).toBe('/home/a/.config/stowage/contexts.yaml');
  expect(contextsPath({ HOME: '/home/a', XDG_CONFIG_HOME: '/x' })).toBe('/x/stowage/contexts.yaml');
  expect(contextsPath({ STOWCTL_CONTEXTS: '/y/z' })).toBe('/y/z');
});

it('no file is no context', async () => {
  expect(await readContexts(env)).toMatchObject({ contexts: {} });
});

it('the current one counts, a named one before it, flags before both', async () => {
  write(prod);
  expect(await reachContext(flags({}), env)).toMatchObject({
    servers: ['tls://nats.example:4222'],
    creds: path.join(dir, 'prod.creds'),
    nodes: ['worker-1'],
  });
  expect(await reachContext(flags({ context: 'here' }), env)).toMatchObject({
    sockets: '/run/other',
  });
  expect(await reachContext(flags({ context: 'prod', nkey: '/k' }), env)).toMatchObject({
    servers: ['tls://nats.example:4222'],
    creds: undefined,
    nkey: '/k',
  });
  expect(await reachContext(flags({ server: 'nats://a:1,nats://b:2' }), env)).toMatchObject({
    servers: ['nats://a:1', 'nats://b:2'],
    creds: undefined,
  });
});

it('another one becomes the current one, and the rest of the file stays', async () => {
  write(prod);
  await writeCurrentContext(await readContexts(env), 'here');
  expect(readFileSync(env.STOWCTL_CONTEXTS, 'utf8')).toBe(
    prod.replace('current: prod', 'current: here'),
  );
  await expect(writeCurrentContext(await readContexts(env), 'her')).rejects.toMatchObject({
    message: `there is no context "her" in ${env.STOWCTL_CONTEXTS}`,
    remedy: 'the nearest is here',
  });
});

it.each([
  ['- a', /contexts.yaml: the file is not a mapping$/],
  ['curent: a', /unknown key "curent"; known: current, contexts$/],
  ['contexts: {a: {server: x}}', /context a: unknown key "server"; the nearest is servers$/],
  ['contexts: {a: {servers: x}}', /context a: servers is not a list of texts$/],
  ['contexts: {a: {creds: [x]}}', /context a: creds is not a text$/],
  ['a: [', /is not YAML: /],
])('%j is refused with what is wrong', async (text, problem) => {
  write(text);
  await expect(readContexts(env)).rejects.toThrow(problem);
});

it('logins in a file that others may read are refused, and not quoted', async () => {
  write('contexts: {a: {servers: ["nats://ann:hunter2@h:4222"]}}');
  const error: unknown = await readContexts(env).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    message: expect.stringMatching(/logins in it and others may read it$/),
  });
  expect(JSON.stringify(error)).not.toContain('hunter2');
  chmodSync(env.STOWCTL_CONTEXTS, 0o600);
  expect(await readContexts(env)).toHaveProperty('contexts.a');
});

it.each<[Record<string, string | true>, RegExp]>([
  [{ node: 'a', all: true }, /exclude each other/],
  [{ node: 'a b' }, /^--node: node "a b" is not valid: /],
  [{ node: 'a' }, /go over NATS, and no server is known/],
  [{ server: 'nats://h' }, /^which nodes\?$/],
  [{ timeout: 'soon' }, /--timeout "soon" is not a time/],
])('%j is a wrong command line', async (given, problem) => {
  await expect(openReach(flags(given), env, new AbortController().signal)).rejects.toMatchObject({
    name: 'UsageError',
    message: expect.stringMatching(problem),
  });
});
