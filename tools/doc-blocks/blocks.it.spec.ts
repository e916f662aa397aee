import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  gcWorker,
  imageService,
  type CommandDefinition,
  type CommandInput,
} from '@stowage/commands';
import { sendLocalCommand } from '@stowage/commands/local';
import {
  eventually,
  ServiceFixture,
  Terminal,
  testRuntime,
  TestNatsServer,
  type PushedImage,
} from '@stowage/testing';
import { nkeys } from 'nats';
import { Desk } from './desk';
import { blocksOf, placeOf, scriptOf, shellBlocks, shownCommands, type Block } from './markdown';
import { markOf } from './marks';
import { runOf } from './run-by';
import { shapeOf, type Shape } from './shape';
import type { Ended, Printed } from './throwaway';

/**
 * The shell blocks of pages, from a clean clone, on the real services: what a page has somebody
 * type is typed. Where a page shows what a command prints, the tables have the same columns, and
 * other lines the same words. Other than on a page:
 *
 * - addresses and names of images are those of this test;
 * - what is written to the machine is written to a copy of its files;
 * - services that a page starts in the foreground go on in the background.
 */

const self = 'tools/doc-blocks/blocks.it.spec.ts';
const node = 'worker-1';
const own = shellBlocks.filter(
  (block) => markOf(block) === undefined && runOf(block)?.test === self,
);
const onContainerd = testRuntime().name === 'containerd' ? describe : describe.skip;

/** Blocks that have a test of their own, by a text of theirs. */
const special: readonly (readonly [string, string])[] = [
  ['README.md', 'npm ci'],
  ['apps/gc-worker/README.md', '--kubelet-config'],
  ['docs/gc-worker.md', 'runtime-ro.sock'],
  ['docs/gc-worker.md', '--dry-run'],
  ['docs/gc-worker.md', 'planId'],
  ['docs/stowctl.md', 'stowctl top\n'],
  ['docs/stowctl.md', 'stowctl doctor\n'],
  ['docs/stowctl.md', 'stowctl check '],
  ['docs/stowctl.md', 'gc run --plan'],
  ['docs/stowctl.md', '--creds ann.creds'],
  ['docs/stowctl.md', 'completion bash'],
  ['docs/image-service.md', '?follow'],
  ['docs/reference/commands.md', '?follow'],
  ['deploy/nats/README.md', 'accounts.conf'],
  ['deploy/nats/README.md', 'stream.json'],
  ['docs/monitoring.md', 'promtool'],
  ['docs/monitoring.md', 'sed -i'],
  ['docs/migrate-from-cron.md', 'gc run'],
];

onContainerd('blocks on the real services', () => {
  let fixture: ServiceFixture;
  let desk: Desk;
  let run: string;
  let image: PushedImage;
  /** What stands on a page, and what is there in this test. */
  let names: [RegExp | string, string][];
  const done = new Set<string>();

  const real = (text: string): string =>
    names.reduce((changed, [from, to]) => changed.replaceAll(from, to), text);
  const socketOf = (app: string): string => path.join(run, `${app}.cmd.sock`);
  const configFile = (): string => path.join(fixture.stack.dir, 'config.yaml');

  beforeAll(async () => {
    fixture = await ServiceFixture.start({ node, filesystemMb: 600 });
    const { stack } = fixture;
    run = path.join(stack.dir, 'run');
    const bare = path.join(stack.dir, 'bare');
    const textfiles = path.join(stack.dir, 'node_exporter');
    for (const folder of [run, bare, textfiles]) mkdirSync(folder);
    // docker.io and others are answered by the open registry.
    image = await stack.pushImage({ name: 'library/nginx', tag: '1.25', sizeMb: 6 });
    for (const [name, tag] of [
      ['team/report', '12'],
      ['team/app', '1.4'],
    ] as const) {
      await stack.pushImage({ name, tag, sizeMb: 4 });
    }
    desk = new Desk({
      dir: path.join(stack.dir, 'desk'),
      node,
      seen: [
        { from: run, as: '/run/stowage' },
        { from: path.dirname(stack.containerd.socket), as: '/run/containerd' },
        { from: textfiles, as: '/var/lib/node_exporter' },
      ],
      env: { NATS_URL: stack.nats.url },
    });
    const { host } = stack.registry.open;
    names = [
      [/nats:\/\/(nats\.example|127\.0\.0\.1):4222/g, stack.nats.url],
      [/registry\.example\/team\//g, `${host}/team/`],
      [/(?<= )team\/app:1\.4/g, `${host}/team/app:1.4`],
    ];
  });

  afterAll(() => fixture.down());

  /** The block of a page that contains a text. */
  const blockWith = (page: string, text: string): Block => {
    const block = own.find((one) => one.page === page && one.text.includes(text));
    if (block === undefined) throw new Error(`${page} has no block with ${text}`);
    done.add(placeOf(block));
    return block;
  };

  /** Runs a block to its end, as a page has it but for names. */
  async function runBlock(
    block: Block,
    more: Parameters<Desk['run']>[1] = {},
  ): Promise<{ readonly printed: readonly Printed[] } & Ended> {
    const commands =
      block.language === 'console'
        ? shownCommands(block).map(({ command }) => real(command))
        : [`(set -e\n${real(block.text)})`];
    return desk.run(commands, more);
  }

  const codesOf = ({ printed, stderr }: { printed: readonly Printed[]; stderr: string }) => ({
    codes: printed.map(({ code }) => code),
    stderr,
  });
  const well = { codes: [0], stderr: '' };

  const send = <C extends CommandDefinition>(command: C, input: CommandInput<C>) =>
    sendLocalCommand(socketOf(command.app), command, input, { timeoutMs: 60_000 });

  describe('services that are started by a page', () => {
    it('README.md: help, configuration, and the service itself', async () => {
      const ended = await runBlock(blockWith('README.md', 'npm ci'), {
        seen: [{ from: path.join(fixture.stack.dir, 'bare'), as: '/run/stowage' }],
        env: { STOWAGE_HTTP_ADDR: '', STOWAGE_NATS_SERVERS: 'none' },
      });
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toMatch(/usage: image-service [^]*nodeName[^]*"msg":"ready"/);
    });

    it('apps/gc-worker/README.md: a worker beside kubelet answers on NATS', async () => {
      const kubelet = path.join(fixture.stack.dir, 'kubelet');
      mkdirSync(kubelet);
      writeFileSync(
        path.join(kubelet, 'config.yaml'),
        'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n',
      );
      const ended = await runBlock(blockWith('apps/gc-worker/README.md', '--kubelet-config'), {
        seen: [{ from: kubelet, as: '/var/lib/kubelet' }],
        env: {
          STOWAGE_HTTP_ADDR: '',
          STOWAGE_NATS_SERVERS: fixture.stack.nats.url,
          STOWAGE_NODE_NAME: node, // the name of the host, which a throwaway shell has no other of
        },
      });
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toMatch(/"msg":"ready"[^]*^\{"ok":true,"result":\{/m);
    });

    it('docs/gc-worker.md: what would be removed, before the worker was ever started', async () => {
      await startServices(['runtime-gateway', 'image-service']);
      const block = blockWith('docs/gc-worker.md', '--dry-run');
      const [dryRun = ''] = block.text.split('\n');
      const ended = await desk.run([dryRun]);
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toContain('request');
    });

    it('docs/gc-worker.md: a worker with the read-only socket alone', async () => {
      const ended = await runBlock(blockWith('docs/gc-worker.md', 'runtime-ro.sock'), {
        env: { STOWAGE_HTTP_ADDR: '', STOWAGE_NATS_SERVERS: 'none', STOWAGE_COMMAND_SOCKET: '' },
      });
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toContain('"msg":"ready"');
    });
  });

  /** Starts services with their sockets where pages have them. */
  async function startServices(apps: readonly string[]): Promise<void> {
    for (const app of apps) {
      const listen: Record<string, Record<string, string>> = {
        'runtime-gateway': {
          STOWAGE_LISTEN: path.join(run, 'runtime.sock'),
          STOWAGE_LISTEN_READONLY: path.join(run, 'runtime-ro.sock'),
          STOWAGE_COMMANDS: 'pods,status,version,exec,events',
        },
        'image-service': {
          STOWAGE_LISTEN: path.join(run, 'image.sock'),
          STOWAGE_COMMANDS: 'ensure,list,pulls,remove,stats,status,events',
        },
        'gc-worker': {
          STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
          STOWAGE_DETECTION_INTERVAL: '1s',
          STOWAGE_COMMANDS: 'plan,run,images,status,events,pause,resume,hold,release',
        },
      };
      const args = app === 'gc-worker' ? ['--config', configFile()] : [];
      if (app === 'gc-worker') writeFileSync(configFile(), 'gc-worker:\n  collect: on\n');
      const values = { ...listen[app], STOWAGE_COMMAND_SOCKET: socketOf(app) };
      const service = await fixture.start(app, values, { args });
      if (app === 'gc-worker') names.push([/http:\/\/127\.0\.0\.1:9472(?=\/)/g, service.httpUrl]);
    }
  }

  /** Changes the policy of gc-worker, and waits until it has it. */
  async function configure(policy: string, has: (status: object) => boolean): Promise<void> {
    writeFileSync(configFile(), policy);
    await eventually(async () => has(await send(gcWorker.status, {})), {
      what: `gc-worker to have ${policy}`,
    });
  }

  describe('with the three services', () => {
    beforeAll(() => startServices(['gc-worker']));

    // Some of what follows removes images.
    beforeEach(async () => {
      for (const name of ['nginx:1.25', real('registry.example/team/report:12')]) {
        await send(imageService.ensure, { image: name, pullPolicy: 'IfNotPresent' });
      }
      await eventually(
        async () => {
          const { images } = await send(gcWorker.images, {});
          return JSON.stringify(images).includes(image.imageId);
        },
        { what: 'gc-worker to know the image' },
      );
    });

    it('a newcomer on call: five commands from a clean clone, and nothing is left', async () => {
      const page = 'docs/quickstart-on-call.md';
      const blocks = own.filter((block) => block.page === page);
      for (const block of blocks) done.add(placeOf(block));
      const shown = blocks.flatMap(shownCommands);
      // Its own stowctl, by the alias that the page makes.
      const ended = await desk.run(shown.map(({ command }) => command));
      expect({ ...codesOf(ended), asked: shown.length - 1 }).toEqual({
        codes: shown.map(() => 0),
        stderr: '',
        asked: 5,
      });
      for (const [index, { command, output }] of shown.entries()) {
        const [page, printed] = [output, ended.printed[index]?.output ?? []].map(shapeOf);
        expectShape(page!, printed!);
        expect([command, printed!.lines]).toEqual([command, expect.arrayContaining(page!.lines)]);
      }
      expect(ended.printed[1]?.output).toEqual([
        'nothing is wrong: 1 nodes looked at, 3 services ok',
      ]);
      expect(ended.printed[4]?.output.join('\n')).toMatch(/ImagePulled +pulled \S*nginx:1\.25/);
      expect(ended.written).toEqual([]);
      expect(desk.changes()).toBe('');
    });

    it('docs/stowctl.md: the whole screen', async () => {
      const block = blockWith('docs/stowctl.md', 'stowctl top\n');
      for (const command of block.text.trimEnd().split('\n')) {
        const terminal = await Terminal.open({ env: { NATS_URL: fixture.stack.nats.url } });
        try {
          const reach = command.includes('--all')
            ? ` --server ${fixture.stack.nats.url}`
            : ` --sockets ${run}`;
          const program = `node ${desk.checkout}/dist/apps/stowctl/main.js`;
          await terminal.run(command.replace('stowctl', program) + reach);
          await terminal.shows(/SERVICES[^]*DISKS[^]*EVENTS/);
          await terminal.press('q');
          await terminal.shows(/\n[$#]\n*$/); // it reads keys to its end
          await terminal.run('echo code=$?');
          await terminal.shows(/code=0/);
        } finally {
          await terminal.close();
        }
      }
    });

    it('docs/stowctl.md: doctor, also of NATS', async () => {
      const ended = await runBlock(blockWith('docs/stowctl.md', 'stowctl doctor\n'));
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toMatch(/^(nothing is wrong: [^\n]*\n){2}/);
    });

    it('docs/stowctl.md: a check for monitoring, in each format', async () => {
      const ended = await runBlock(blockWith('docs/stowctl.md', 'stowctl check '));
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toMatch(/^\S.*OK.*\n\{/);
      const file = path.join(fixture.stack.dir, 'node_exporter/stowage.prom');
      expect(readFileSync(file, 'utf8')).toMatch(/^stowage_\w+/m);
    });

    it('docs/gc-worker.md: what would be removed, by a worker that runs', async () => {
      const [, plan = ''] = blockWith('docs/gc-worker.md', '--dry-run').text.split('\n');
      const ended = await desk.run([plan]);
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toContain('(request)');
    });

    it('docs/stowctl.md: a plan, carried out exactly', async () => {
      const block = blockWith('docs/stowctl.md', 'gc run --plan');
      const [plan = '', run = ''] = block.text.split('\n');
      const { stdout } = await desk.run([plan]);
      const [id = 'none'] = /plan-[0-9a-f]+$/m.exec(stdout) ?? [];
      const ended = await desk.run([run.replace(/plan-[0-9a-f]+/, id)]);
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).toMatch(/nginx:1\.25 +removed +request/);
    });

    it('docs/stowctl.md: other nodes, with the login of an operator', async () => {
      const block = blockWith('docs/stowctl.md', '--creds ann.creds');
      const home = path.join(fixture.stack.dir, 'home');
      mkdirSync(home);
      writeFileSync(path.join(home, 'ann.creds'), credentials());
      const contexts = path.join(home, 'contexts.yaml');
      writeFileSync(
        contexts,
        `current: lab\ncontexts:\n  lab: { servers: ['${fixture.stack.nats.url}'] }\n`,
      );
      await send(imageService.ensure, { image: real('registry.example/team/app:1.4') });
      const lines = real(block.text).trimEnd().split('\n');
      const ended = await desk.run(lines, { folder: home, env: { STOWCTL_CONTEXTS: contexts } });
      const [nodes, why, images] = ended.printed;
      expect([nodes?.code, nodes?.output.join('\n')]).toEqual([
        0,
        expect.stringMatching(/worker-1 +ok +3\/3/),
      ]);
      expect([why?.code, why?.output.join('\n')]).toEqual([0, expect.stringMatching(/team\/app/)]);
      // There is no worker-2 here, which is said, and the other one is shown.
      expect([images?.code, images?.output.join('\n')]).toEqual([
        1,
        expect.stringMatching(/worker-1 .*nginx:1\.25/),
      ]);
      expect(ended.stderr).toContain('worker-2');
    });

    it('docs/gc-worker.md: a plan in shadow is carried out later', async () => {
      const block = blockWith('docs/gc-worker.md', 'planId');
      const [shadow = '', , later = ''] = block.text.split('\n');
      await configure('gc-worker:\n  collect: shadow\n', (status) =>
        JSON.stringify(status).includes('"collect":"shadow"'),
      );
      const first = await desk.run([shadow]);
      const { result } = JSON.parse(first.stdout.replaceAll('\u001e', '').replace(/0$/, '')) as {
        result: { planId: string; shadow?: { wouldRemoveCount: number } };
      };
      expect(result.shadow?.wouldRemoveCount).toBeGreaterThan(0);
      await configure('gc-worker:\n  collect: on\n', (status) =>
        JSON.stringify(status).includes('"collect":"on"'),
      );
      const second = await desk.run([later.replace('plan-…', result.planId)]);
      expect(second.stdout).toMatch(/"ok":true[^]*"removed"/);
    });

    it('docs/image-service.md, docs/reference/commands.md: a pull is followed', async () => {
      const { host } = fixture.stack.registry.open;
      const follow = blockWith('docs/image-service.md', '?follow');
      for (const [index, command] of follow.text.trimEnd().split('\n').entries()) {
        const name = `team/followed-${index}`;
        await fixture.stack.pushImage({ name, tag: '1', sizeMb: 60 });
        const shell = desk.open(command);
        if (command.startsWith('curl')) await shell.prints(/"pulls":\[\]/);
        // A short pull can be over between two looks.
        const image = `${host}/${name}:1`;
        await eventually(
          async () => {
            await send(imageService.ensure, { image });
            await send(imageService.remove, { image });
            return shell.stdout.includes(`${name}:1`);
          },
          { what: `the pull of ${name} printed` },
        );
        await shell.interrupt();
      }
    });

    it('docs/reference/commands.md: the sockets on the node', async () => {
      const block = blockWith('docs/reference/commands.md', '?follow');
      const [who = '', plan = '', follow = ''] = block.text.split('\n');
      const ended = await desk.run([who, plan]);
      expect(ended.printed.map(({ output }) => output.join('')).join('\n')).toMatch(
        /^\{.*"app":"gc-worker".*\}\n\{"ok":true,"result":\{/,
      );
      const shell = desk.open(follow);
      await shell.prints(/^\{"ok":true,"result":\{"pulls":/);
      await shell.interrupt();
    });

    it('deploy/nats/README.md: accounts, stream and consumers', async () => {
      // Where no service has made the stream yet.
      const nats = await TestNatsServer.start();
      try {
        for (const text of ['accounts.conf', 'stream.json']) {
          const ended = await runBlock(blockWith('deploy/nats/README.md', text), {
            env: { NATS_URL: nats.url },
          });
          expect(codesOf(ended)).toEqual(well);
          if (text === 'stream.json') {
            expect(ended.stdout).toMatch(
              /STOWAGE_EVENTS was created\n.*> capacity was created\n.*DEAD_LETTERS was created/,
            );
          }
        }
      } finally {
        await nats.remove();
      }
    });

    it('docs/monitoring.md: a Prometheus takes the rules, with their own runbooks', async () => {
      const prometheus = path.join(fixture.stack.dir, 'prometheus');
      mkdirSync(path.join(prometheus, 'rules'), { recursive: true });
      const [scrape] = blocksOf('docs/monitoring.md').filter(({ text }) =>
        text.startsWith('rule_files'),
      );
      writeFileSync(path.join(prometheus, 'prometheus.yml'), scrape?.text ?? '');
      const seen = [{ from: prometheus, as: '/etc/prometheus' }];
      const taken = await runBlock(blockWith('docs/monitoring.md', 'promtool'), { seen });
      expect(codesOf(taken)).toEqual(well);
      expect(taken.stdout).toMatch(/SUCCESS: .*prometheus\.yml is valid[^]*\d+ rules found/);
      // One line or the other.
      const [own = '', none = ''] = blockWith('docs/monitoring.md', 'sed -i').text.split('\n');
      const count = (text: string): string => `grep -c ${text} /etc/prometheus/rules/stowage.yaml`;
      const changed = await desk.run(
        [own, count('wiki.example.com/stowage'), none, count('runbook_url:')],
        { seen },
      );
      const [, links, , left] = changed.printed;
      expect([Number(links?.output[0]) > 10, left?.output, changed.stderr]).toEqual([
        ...[true, ['0'], ''],
      ]);
    });

    it('docs/stowctl.md: completions lie where shells look for them', async () => {
      const block = blockWith('docs/stowctl.md', 'completion bash');
      // Folders of shells that are installed.
      const folders = ['/etc/bash_completion.d', '/usr/local/share/zsh/site-functions'];
      const made = `mkdir -p ${folders.join(' ')} ~/.config/fish/completions`;
      const ended = await desk.run([made, `set -e\n${block.text}`]);
      expect(ended.printed.map(({ code }) => code)).toEqual([0, 0]);
      expect(ended.written.filter((file) => /stowctl(\.fish)?$/.test(file))).toHaveLength(3);
    });

    it('docs/migrate-from-cron.md: a collection from a script', async () => {
      const ended = await runBlock(blockWith('docs/migrate-from-cron.md', 'gc run'));
      // 20 GiB are more than there are here, which the page says is an exit code of 1.
      expect(ended.printed[0]?.code).toBe(1);
      expect(ended.stdout).toMatch(/nginx:1\.25 +removed +request/);
    });

    const commandBlocks = own.filter(
      ({ page, text }) => page === 'docs/reference/commands.md' && text.startsWith('nats '),
    );

    it.each(commandBlocks.map((block) => [block.text.trim(), block] as const))(
      'docs/reference/commands.md: %s',
      async (_text, block) => {
        done.add(placeOf(block));
        const ended = await runBlock(block);
        if (block.text.includes('.docker-shim.')) {
          expect(codesOf(ended)).toEqual({ codes: [1], stderr: 'nats: error: no responders\n' });
          return;
        }
        expect(codesOf(ended)).toEqual(well);
        const reply = JSON.parse(ended.printed[0]?.output.join('\n') ?? '') as {
          ok: boolean;
          error?: { code: string };
        };
        // Containers and images of the reference are not there; its words and fields are.
        expect(['undefined', 'NOT_FOUND', 'FAILED_PRECONDITION']).toContain(
          String(reply.error?.code),
        );
      },
    );

    it('after these commands collections are as before', async () => {
      await send(gcWorker.resume, {});
      await send(gcWorker.release, { image: 'nginx:1.25' }).catch(() => undefined);
    });

    const runbookBlocks = own.filter(({ page }) => page.startsWith('docs/runbooks/'));

    describe('runbooks', () => {
      const printed = new Map<string, Shape>();

      beforeAll(async () => {
        // Something that doctor finds, and pulls of both ends.
        await configure('gc-worker:\n  collect: on\n  exemptImages: [none/**]\n', (status) =>
          JSON.stringify(status).includes('none/**'),
        );
        const { host } = fixture.stack.registry.open;
        await fixture.stack.runPod({ image: `${host}/team/app:1.4` });
        await send(imageService.ensure, { image: `${host}/team/none:1` }).catch(() => undefined);
        await fixture.events.waitFor('ImagePullFailed');
      });

      it.each(runbookBlocks.map((block) => [placeOf(block), block] as const))(
        '%s',
        async (_place, block) => {
          done.add(placeOf(block));
          const { printed: all, stderr } = await runBlock(block);
          for (const [index, { command, output }] of shownCommands(block).entries()) {
            const answer = all[index];
            const codes = command.startsWith('stowctl doctor') ? [0, 1] : [0];
            expect([command, codes.includes(answer?.code ?? -1), stderr]).toEqual([
              ...[command, true],
              expect.stringMatching(/^(no event since .*\n)?$/),
            ]);
            const shape = shapeOf(answer?.output ?? []);
            printed.set(command, shape);
            expectShape(shapeOf(output), shape, command);
          }
        },
      );
    });

    /** Blocks without a test of their own above. */
    const others = own.filter(
      (block) =>
        !special.some(([page, text]) => page === block.page && block.text.includes(text)) &&
        !commandBlocks.includes(block) &&
        !runbookBlocks.includes(block) &&
        block.page !== 'docs/quickstart-on-call.md',
    );

    it.each(others.map((block) => [placeOf(block), block] as const))('%s', async (_, block) => {
      done.add(placeOf(block));
      const ended = await runBlock(block);
      expect(codesOf(ended)).toEqual(well);
      expect(ended.stdout).not.toMatch(/"ok": ?false/);
      expect(ended.stdout.replaceAll(/\u001e0?/g, '')).toMatch(
        scriptOf(block).includes('ln -s') ? /^$/ : /\S/,
      );
    });

    it('no block is left out', () => {
      expect(own.map(placeOf).filter((place) => !done.has(place))).toEqual([]);
    });
  });
});

/** Columns that only some rows call for. */
const optionalColumns = ['REASON'];

/**
 * What a page shows has the tables and the events of what is printed. Which of them are printed
 * depends on the node: what is not there is not compared.
 */
function expectShape(shown: Shape, printed: Shape, command = ''): void {
  const plain = (header: readonly string[]) =>
    header.filter((title) => !optionalColumns.includes(title)).join('  ');
  const known = printed.headers.map(plain);
  for (const header of shown.headers) {
    if (known.length === 0 && /^stowctl (pulls|doctor)/.test(command)) continue;
    expect([command, known]).toEqual([command, expect.arrayContaining([plain(header)])]);
  }
}

/** A file of credentials, as nsc writes it. */
function credentials(): string {
  const user = (nkeys as { createUser(): { getSeed(): Uint8Array } }).createUser();
  const seed = Buffer.from(user.getSeed()).toString();
  const part = (title: string, text: string) =>
    `-----BEGIN ${title}-----\n${text}\n------END ${title}------\n\n`;
  return part('NATS USER JWT', 'e30.e30.e30') + part('USER NKEY SEED', seed);
}
