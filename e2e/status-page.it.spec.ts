import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { gcWorker } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService } from '@stowage/cri-client';
import {
  eventually,
  requirePrerequisites,
  ServiceFixture,
  type AppProcess,
  type Stack,
} from '@stowage/testing';
import { chromium, type Browser, type Page } from 'playwright-core';

/** The status pages of the real services, in a real browser. */

/** A login of NATS that is on no page. The server of the tests takes any. */
const password = 'on-no-page-5f1c';
/** What somebody may ask for as an image. */
const hostile = `team/"><script>document.title='taken'</script>&'`;

let fixture: ServiceFixture;
let stack: Stack;
let browser: Browser;
/** Takes requests and never answers. */
let silent: Server;
let slowImage: string;
const pulling = new AbortController();
const services = new Map<string, AppProcess>();
/** Looks for what keeps people from using a page. */
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

async function start(app: string, more: Record<string, string>, ready?: 'healthz'): Promise<void> {
  const nats = stack.nats.url.replace('nats://', `nats://page:${password}@`);
  services.set(app, await fixture.start(app, { STOWAGE_NATS_SERVERS: nats, ...more }, { ready }));
}

beforeAll(async () => {
  requirePrerequisites(['chromium'], { root: false });
  [browser, fixture] = await Promise.all([
    chromium.launch({
      executablePath: '/usr/bin/chromium',
      // Tests run as root, in containers with little shared memory.
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    }),
    ServiceFixture.start({ node: 'node-1.example' }),
  ]);
  ({ stack } = fixture);
  silent = createServer(() => undefined);
  await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening));
  slowImage = `127.0.0.1:${(silent.address() as AddressInfo).port}/team/slow:1`;
  const socket = (name: string) => path.join(stack.dir, `${name}.sock`);
  await Promise.all([
    start('runtime-gateway', {
      STOWAGE_LISTEN: socket('runtime'),
      STOWAGE_LISTEN_READONLY: '',
      STOWAGE_RELIST_INTERVAL: '1s',
    }),
    start('image-service', { STOWAGE_LISTEN: socket('image') }),
    start('gc-worker', {
      STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
      STOWAGE_COMMANDS: 'run,status',
      // The images lie on the file system of this machine, which may be full beyond any mark.
      STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '100',
      STOWAGE_EXEMPT_IMAGES: 'no.such/image/**',
    }),
    // Its engine is away: the page says so, and what to do.
    start(
      'docker-shim',
      { STOWAGE_LISTEN: socket('shim'), STOWAGE_DOCKER_ENDPOINT: `unix://${socket('no-engine')}` },
      'healthz',
    ),
  ]);
  const [used, unused] = [
    await stack.pushImage({ name: 'team/used', tag: '1' }),
    await stack.pushImage({ name: 'team/unused', tag: '1' }),
  ];
  const images = connectImageService({ endpoint: `unix://${socket('image')}` });
  for (const { reference } of [used, unused]) {
    await images.pullImage({ image: { image: reference } });
  }
  await stack.runPod({ image: used.reference });
  await fixture.events.waitFor('PodSandboxStarted');
  await images.pullImage({ image: { image: hostile } }).catch(() => undefined);
  const { signal } = pulling;
  images.pullImage({ image: { image: slowImage } }, { signal }).catch(() => undefined);
  await fixture.events.waitFor('ImagePullStarted', ({ data }) => data.reference === slowImage);
  await fixture.events.waitFor('ImageDetected', ({ data }) => data.imageId === unused.imageId);
  const bytes = 2 ** 40;
  await sendCommand(fixture.nats, fixture.node, gcWorker.run, { bytes }, { timeoutMs: 60_000 });
  await fixture.events.waitFor('ImageRemoved', ({ data }) => data.imageId === unused.imageId);
});

afterAll(async () => {
  pulling.abort();
  silent.closeAllConnections();
  silent.close();
  await browser.close();
  await fixture.down();
});

/** What each page has to have: its headings, and texts below them. */
const pages: Record<string, { headings: string[]; texts: (string | RegExp)[] }> = {
  'runtime-gateway': {
    headings: ['Health', 'Runtime', 'Pods and containers', 'Events', 'Recent events'],
    texts: [
      'RuntimeReady',
      'NetworkReady',
      /Answers\s+yes, for/,
      'flow to NATS',
      'PodSandboxStarted',
    ],
  },
  'image-service': {
    headings: ['Health', 'Pulls in progress', 'Images', 'Events', 'Recent events'],
    texts: [/team\/slow:1/, 'ImagePulled', 'ImagePullFailed', hostile],
  },
  'gc-worker': {
    headings: ['Health', 'Disks', 'Collecting', 'Last collection', 'Events', 'Recent events'],
    texts: [
      '100 / 80 %',
      /Cause\s+request, plan/,
      'in-use',
      /team\/unused:1.*removed.*request/,
      /team\/used:1.*kept.*in-use.*pod/,
      'Exempt, but no image is: no.such/image/**',
      // It was asked for more than there is.
      'GarbageCollectionFailed',
      /Fell short\s+insufficient-space-freed/,
    ],
  },
  'docker-shim': {
    headings: [
      'Health',
      'Docker Engine',
      'Network of pods',
      'Pulls in progress',
      'Events',
      'Recent events',
    ],
    texts: [/docker\s+down/, 'ENOENT', 'start the runtime, or set', 'Nothing is being pulled.'],
  },
};

const views = [
  { width: 1280, height: 900, colorScheme: 'light' },
  { width: 1280, height: 900, colorScheme: 'dark' },
  { width: 380, height: 800, colorScheme: 'light' },
  { width: 380, height: 800, colorScheme: 'dark' },
] as const;

const urlOf = (app: string): string => `${services.get(app)?.httpUrl ?? ''}/`;

/** The page in a browser, with all that the browser asked for or complained about. */
async function withPage(
  app: string,
  options: Parameters<Browser['newContext']>[0],
  use: (page: Page, seen: { requests: string[]; complaints: string[] }) => Promise<void>,
): Promise<void> {
  const context = await browser.newContext(options);
  try {
    const page = await context.newPage();
    const seen = { requests: [] as string[], complaints: [] as string[] };
    page.on('request', (request) => seen.requests.push(request.url()));
    page.on('console', (message) => seen.complaints.push(message.text()));
    page.on('pageerror', (error) => seen.complaints.push(error.message));
    await page.goto(urlOf(app));
    await use(page, seen);
  } finally {
    await context.close();
  }
}

describe.each(Object.entries(pages))('the page of %s', (app, { headings, texts }) => {
  it.each(views)(
    'is whole and without an accessibility violation, $width wide and $colorScheme',
    async ({ width, height, colorScheme }) => {
      const viewport = { width, height };
      await withPage(app, { viewport, colorScheme }, async (page, { requests, complaints }) => {
        expect(await page.locator('h1').allInnerTexts()).toEqual([`${app} on node-1.example`]);
        expect(await page.locator('h2').allInnerTexts()).toEqual(headings);
        const [wide, shown] = await page.evaluate<[number, number]>(
          '[document.documentElement.scrollWidth, window.innerWidth]',
        );
        expect(wide).toBeLessThanOrEqual(shown);
        await page.evaluate(axe);
        const violations = await page.evaluate<{ id: string; nodes: { html: string }[] }[]>(
          'axe.run(document).then(({ violations }) => violations)',
        );
        expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
        expect(requests).toEqual([urlOf(app)]);
        expect(complaints).toEqual([]);
      });
    },
  );

  it('is read without JavaScript', async () => {
    await withPage(app, { javaScriptEnabled: false }, async (page) => {
      const rows = await page.locator('dl, tr, p').allInnerTexts();
      const text = rows.join('\n').replaceAll('\t', ' ');
      for (const wanted of texts) {
        if (typeof wanted === 'string') expect(text).toContain(wanted);
        else expect(text).toMatch(wanted);
      }
    });
  });

  it('shows no secret, and runs nothing that came from outside', async () => {
    await withPage(app, {}, async (page) => {
      expect(await page.content()).not.toContain(password);
      expect(await page.locator('script, img, link, iframe, object').count()).toBe(0);
      expect(await page.title()).toMatch(
        new RegExp(`^${app} on node-1.example: (ok|degraded|down)$`),
      );
    });
  });

  it('leads to metrics and health of the service, and nowhere else', async () => {
    await withPage(app, {}, async (page) => {
      const links = await page.locator('a').all();
      const hrefs = await Promise.all(links.map((link) => link.getAttribute('href')));
      expect(hrefs.filter((href) => href == null || /^(\/|[a-z]+:)/.test(href))).toEqual([]);
      const { origin } = new URL(urlOf(app));
      for (const name of ['metrics', 'healthz', 'readyz']) {
        await page.goto(urlOf(app));
        await page.getByRole('link', { name: `/${name}` }).click();
        expect(page.url()).toBe(`${origin}/${name}`);
        expect(await page.locator('body').innerText()).not.toContain('not found');
      }
    });
  });
});

it('reloads by itself where that is asked for, and stops again', async () => {
  await withPage('gc-worker', {}, async (page) => {
    expect(await page.locator('meta[http-equiv=refresh]').count()).toBe(0);
    await page.getByRole('link', { name: 'Reload every 10 s' }).click();
    const refresh = page.locator('meta[http-equiv=refresh]');
    expect(await refresh.getAttribute('content')).toBe('10');
    await page.getByRole('link', { name: 'Stop' }).click();
    expect(await page.locator('meta[http-equiv=refresh]').count()).toBe(0);
  });
});

it('says what is wrong while NATS is away, and that it is over', async () => {
  await stack.nats.stop();
  const textOf = async () => (await fetch(urlOf('gc-worker'))).text();
  const wanted = [
    '<td>nats</td><td><span class="warning">degraded',
    'check natsServers and the network; events wait on disk meanwhile',
    'wait on this node',
  ];
  await eventually(async () => {
    const text = await textOf();
    return wanted.every((part) => text.includes(part));
  });
  await stack.nats.start();
  await eventually(async () => (await textOf()).includes('<td>nats</td><td><span class="good">ok'));
});
