import { createHash } from 'node:crypto';
import { Health } from '../health';
import { StatusPage } from './status-page';
import type { StatusSource } from './types';

const startedAt = new Date('2026-11-20T20:00:00Z');
const hostile = '"><script>alert(1)</script>';

let stop: AbortController;
let health: Health;
let page: StatusPage;

beforeEach(() => {
  jest.useFakeTimers({ now: new Date('2026-11-20T22:00:00Z') });
  stop = new AbortController();
  health = new Health();
  health.enter('running');
  page = new StatusPage({
    facts: { app: 'gc-worker', version: '1.2.3', node: 'worker-1', pid: 42, startedAt },
    readiness: () => health.readiness(),
    signal: stop.signal,
  });
});

afterEach(() => {
  jest.useRealTimers();
});

const bodyOf = async (query = ''): Promise<string> =>
  (await page.page(new URLSearchParams(query))).body;

const source = (title: string, more: Partial<StatusSource> = {}): StatusSource => ({
  title,
  sections: () => [{ title, facts: [['Name', `${title} value`]] }],
  ...more,
});

it('names service, node, version and state', async () => {
  const body = await bodyOf();
  expect(body).toContain('<h1>gc-worker on worker-1</h1>');
  expect(body).toContain('<dt>Version</dt><dd>1.2.3</dd>');
  expect(body).toContain('<dt>Started</dt><dd>2026-11-20T20:00:00Z, 2h ago</dd>');
  expect(body).toContain('<dt>State</dt><dd><span class="good">ok</span></dd>');
});

it.each([
  [
    'runtime',
    'down',
    'unix:///run/x.sock: connect ENOENT /run/x.sock',
    'start the runtime, or set',
  ],
  ['docker', 'down', 'unix:///run/d.sock: connect ECONNREFUSED', 'nobody listens there'],
  ['nats', 'degraded', 'CONNECTION_REFUSED', 'check natsServers and the network'],
  ['records', 'degraded', '/r.db: cannot be written: ENOSPC', 'make room on the file system'],
  ['policy', 'degraded', 'exemptImages: not a list', 'correct the configuration file'],
  ['forwarding', 'degraded', 'a connection was given up', 'it clears by itself'],
] as const)('%s that is %s has its cause and what to do', async (name, state, reason, remedy) => {
  health.report(name, { state, reason });
  const body = await bodyOf();
  expect(body).toContain(`<td>${name}</td>`);
  expect(body).toContain(reason);
  expect(body).toContain(remedy);
});

it('a component that is ok has its note and nothing to do', async () => {
  health.report('collecting', { state: 'ok', note: 'paused until noon' });
  expect(await bodyOf()).toContain('<td>paused until noon</td><td>-</td></tr>');
});

it('shows sections by their place, and then in their order', async () => {
  page.add(source('Events', { place: 100 }));
  page.add(source('Disks'));
  page.add(source('Images'));
  const headings = [...(await bodyOf()).matchAll(/<h2[^>]*>([^<]*)</g)].map(([, text]) => text);
  expect(headings).toEqual(['Health', 'Disks', 'Images', 'Events']);
});

it('escapes everything that sources say', async () => {
  page.add(
    source('Images', {
      sections: () => [
        {
          title: hostile,
          facts: [[hostile, { text: hostile, tone: 'bad' }]],
          tables: [
            { heading: hostile, columns: [{ title: hostile }], rows: [[hostile]] },
            { heading: hostile, columns: [], rows: [], empty: hostile },
          ],
          notes: [hostile],
        },
      ],
    }),
  );
  health.report('nats', { state: 'degraded', reason: hostile });
  const body = await bodyOf(`refresh=${encodeURIComponent(hostile)}`);
  expect(body.match(/&quot;&gt;&lt;script&gt;/g)).toHaveLength(11);
  expect(body).not.toContain('<script');
});

it('a source that fails takes nothing else from the page', async () => {
  page.add(source('Disks', { sections: () => Promise.reject(new Error(`no ${hostile}`)) }));
  page.add(source('Images'));
  const body = await bodyOf();
  expect(body).toContain('Not known now: no &quot;&gt;');
  expect(body).toContain('Images value');
});

it('a source that does not answer is not waited for, and its signal aborts', async () => {
  let signal: AbortSignal | undefined;
  const never = new Promise<never>(() => undefined);
  page.add(
    source('Disks', {
      sections: (options) => {
        ({ signal } = options);
        return never;
      },
    }),
  );
  const body = bodyOf();
  await jest.advanceTimersByTimeAsync(5000);
  expect(await body).toContain('Not known now: asking for it timed out after 5000 ms');
  expect(signal?.aborted).toBe(true);
});

it('at the stop no source is waited for', async () => {
  page.add(source('Disks', { sections: () => new Promise<never>(() => undefined) }));
  const body = bodyOf();
  stop.abort(new Error('stopping'));
  expect(await body).toContain('Not known now: stopping');
});

it('asks the sources once for all pages within a second', async () => {
  const sections = jest.fn(() => []);
  page.add(source('Disks', { sections }));
  await Promise.all([bodyOf(), bodyOf('refresh=10'), bodyOf()]);
  await bodyOf();
  expect(sections).toHaveBeenCalledTimes(1);
  await jest.advanceTimersByTimeAsync(1000);
  await bodyOf();
  expect(sections).toHaveBeenCalledTimes(2);
});

it.each([
  ['', undefined],
  ['refresh=10', '10'],
  ['refresh=3600', '3600'],
  ['refresh=4', undefined],
  ['refresh=3601', undefined],
  ['refresh=1e2', undefined],
  ['refresh=10;url=https://example.net', undefined],
])('?%s reloads by itself: %j', async (query, seconds) => {
  const [, content] =
    /<meta http-equiv="refresh" content="([^"]*)"/.exec(await bodyOf(query)) ?? [];
  expect(content).toBe(seconds);
});

it('allows its own style, by its hash, and nothing else', async () => {
  const { headers = {}, body } = await page.page(new URLSearchParams());
  const [, css = ''] = /<style>([^]*)<\/style>/.exec(body) ?? [];
  const hash = createHash('sha256').update(css).digest('base64');
  expect(headers['content-security-policy']).toBe(
    `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
  expect(body).not.toMatch(/ style=| on[a-z]+=|<script|<link|<img|<iframe|@import|url\(/);
});

it('has relative links alone, so that it works below any path', async () => {
  const hrefs = [...(await bodyOf()).matchAll(/href="([^"]*)"/g)].map(([, href]) => href);
  expect(hrefs).toEqual(['metrics', 'healthz', 'readyz', '?refresh=10', '?refresh=60']);
});
