import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { eventually, Terminal } from '@stowage/testing';
import { Desk } from '../doc-blocks/desk';
import { blocksOf, isShell, root, shownCommands } from '../doc-blocks/markdown';

const demo = ['--import', 'tsx', path.join(root, 'tools', 'demo', 'main.ts')];

interface Shown {
  output: string;
  status: number | null;
}

/** The five commands that the demo prints. */
const commandsOf = (output: string): string[] =>
  output
    .split('\n')
    .flatMap((line) => /^ {3}(.*dist\/apps\/stowctl\/main\.js .*)$/.exec(line)?.[1] ?? []);

/**
 * The demo starts the whole suite on a real stack and ends with exit code 0 only if it saw what it
 * promises.
 */
function itKeepsItsPromises(shown: Shown): void {
  it('sees each of its promises kept', () => {
    expect(shown.output).not.toMatch(/^ {3}NO {3}/m);
    expect(shown.output.match(/^ {3}yes {2}/gm)).toHaveLength(13);
    expect(shown.status).toBe(0);
  });

  it('publishes no end of the pod, which runs until the services are gone', () => {
    expect(shown.output).toContain('PodSandboxStarted 1,');
    expect(shown.output).not.toContain('PodSandboxStopped');
  });

  it('gives a rule for every image of the collection', () => {
    expect(shown.output).toMatch(/removed\s+\S+team\/private:1\.0\s+threshold/);
    expect(shown.output).toMatch(/kept\s+\S+demo\/web:2\.1\s+in-use\s+container web/);
    expect(shown.output).toMatch(/kept\s+\S+ops\/toolbox:stable\s+(exempt|pinned)/);
  });
}

describe('npm run demo', () => {
  const shown: Shown = { output: '', status: null };

  beforeAll(() => {
    const options = { cwd: root, encoding: 'utf8', timeout: 580_000 } as const;
    const run = spawnSync(process.execPath, demo, options);
    shown.output = `${run.stdout}${run.stderr}`;
    shown.status = run.status;
  }, 600_000);

  itKeepsItsPromises(shown);

  it('ends with five commands to try', () => {
    expect(commandsOf(shown.output)).toHaveLength(5);
    expect(shown.output).toMatch(/main\.js top\n*$/);
  });
});

/** What became of the commands that the demo prints, while everything was up. */
interface Tried {
  readonly commands: readonly { code: number | null; stdout: string; stderr: string }[];
  readonly top: readonly string[];
}

async function tryPrinted(output: string, cwd: string): Promise<Tried> {
  const printed = commandsOf(output);
  const commands = printed.slice(0, 4).map((command) => {
    const options = { cwd, encoding: 'utf8', timeout: 60_000 } as const;
    const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', command], options);
    return { code: status, stdout, stderr };
  });
  const terminal = await Terminal.open();
  try {
    await terminal.run(`cd ${cwd}; clear`);
    await terminal.run(printed[4] ?? 'false');
    const top = await terminal.shows(/SERVICES[^]*gc-worker {8}\w+[^]*\[#/);
    await terminal.press('q');
    return { commands, top };
  } finally {
    await terminal.close();
  }
}

function itPrintsCommandsThatWork(tried: () => Tried | undefined): void {
  it('the commands that it prints work as they stand there', () => {
    const { commands = [], top = [] } = tried() ?? {};
    expect(commands.map(({ stderr }) => stderr)).toEqual(['', '', '', '']);
    const [status, why, plan, doctor] = commands.map(({ code, stdout }) => `${code} ${stdout}`);
    expect(status).toMatch(/^0 NODE +SERVICE[^]*demo-node +gc-worker +ok/);
    expect(why).toMatch(/^0 [^]*it is not there[^]*ImageRemoved +gc-worker removed/);
    expect(plan).toMatch(/^0 demo-node: plan-\w+ \(request\) removes [1-9]/);
    // What it finds is a matter of this machine; that it finds its way is not.
    expect(doctor).toMatch(/^(0 nothing is wrong: 1 nodes looked at, 3 services ok|1 LEVEL)/);
    expect(doctor).not.toMatch(/service-absent|services-absent|service-down/);
    expect(top.join('\n')).toMatch(/demo-node[^]*SERVICES[^]*DISKS[^]*PULLS[^]*EVENTS/);
  });
}

/** What the demo with `--keep` has printed once it is up. */
const isUp = (line: string): boolean => line.includes('until Ctrl-C');

it('README.md shows the demo in the ways that are tried here', () => {
  const shown = blocksOf('README.md').flatMap(({ text }) => /^npm run demo.*$/m.exec(text) ?? []);
  expect(shown).toEqual([
    'npm run demo',
    'npm run demo -- --runtime docker',
    'npm run demo -- --keep',
  ]);
});

/**
 * A developer who wants the events, with docs/quickstart-events.md alone: the blocks of the page
 * are typed in a clean clone, the first one in a terminal of its own.
 */
describe('a newcomer who consumes events', () => {
  const shown: Shown = { output: '', status: null };
  const dir = mkdtempSync(path.join(tmpdir(), 'stowage-newcomer-'));
  /** What was printed for the commands of the other terminal. */
  const printed: string[] = [];
  const blocks = blocksOf('docs/quickstart-events.md').filter(isShell).flatMap(shownCommands);
  let desk: Desk;
  let tried: Tried | undefined;

  beforeAll(async () => {
    desk = new Desk({ dir, node: 'worker-1' });
    const [first, ...others] = blocks.map(({ command }) => command);
    const child = desk.spawn(first ?? 'false');
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (shown.output += text));
    for await (const line of createInterface({ input: child.stdout })) {
      shown.output += `${line}\n`;
      if (!isUp(line)) continue;
      const [, address = ''] = /--nats (\S+)/.exec(shown.output) ?? [];
      const [, sockets = ''] = /--sockets (\S+)/.exec(shown.output) ?? [];
      try {
        for (const command of others) {
          const there = command.replace('127.0.0.1:4222', address).replace('DIR', sockets);
          printed.push(await untilCtrlC(there));
        }
        tried = await tryPrinted(shown.output, desk.checkout);
      } finally {
        process.kill(-(child.pid ?? 0), 'SIGINT');
      }
    }
    shown.status = await ended;
  }, 600_000);

  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  /** Types a command and ends it once it has printed two lines, unless it ends before. */
  async function untilCtrlC(command: string): Promise<string> {
    const child = desk.spawn(command);
    let [stdout, stderr, isOver] = ['', '', false];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = new Promise((resolve) => child.once('close', resolve));
    void ended.then(() => (isOver = true));
    await eventually(() => isOver || stdout.split('\n').length > 2, {
      what: `${command} to print`,
      timeoutMs: 60_000,
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${stdout}${stderr}`, { cause: error });
    });
    if (!isOver) process.kill(-(child.pid ?? 0), 'SIGINT');
    await ended;
    return stdout;
  }

  itKeepsItsPromises(shown);
  itPrintsCommandsThatWork(() => tried);

  it('the demo prints what the page shows', () => {
    const [first] = blocks;
    for (const line of first?.output ?? []) expect(shown.output).toContain(line);
  });

  it('reads events from the beginning, as sentences and as JSON', () => {
    const [sentences = '', objects = ''] = printed;
    expect(sentences).toMatch(/^20\S+Z demo-node [\w-]+ #\d+ Image\w+: /);
    const typesOf = (json = '{}') =>
      Object.entries(JSON.parse(json) as object).map(([key, value]) => [key, typeof value]);
    const [, , json] = blocks;
    expect(typesOf(objects.split('\n')[0])).toEqual(typesOf(json?.output[0]));
  });

  it('finds nothing wrong, and leaves nothing', () => {
    expect(printed[2]?.trimEnd().split('\n')).toEqual(blocks[3]?.output);
    expect(shown.output).toMatch(/^ {3}yes {2}nothing left behind$/m);
    expect(desk.changes()).toBe('');
  });
});

describe('npm run demo -- --runtime docker --keep', () => {
  const shown: Shown = { output: '', status: null };
  let tried: Tried | undefined;

  beforeAll(async () => {
    const child = spawn(process.execPath, [...demo, '--runtime', 'docker', '--keep'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (shown.output += text));
    for await (const line of createInterface({ input: child.stdout })) {
      shown.output += `${line}\n`;
      if (!isUp(line)) continue;
      tried = await tryPrinted(shown.output, root).finally(() => child.kill('SIGINT'));
    }
    shown.status = await ended;
  }, 600_000);

  itKeepsItsPromises(shown);
  itPrintsCommandsThatWork(() => tried);
});
