import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Terminal } from '@stowage/testing';

const root = path.resolve(__dirname, '..');
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

describe.each(['containerd', 'docker'])('npm run demo -- --runtime %s --keep', (runtime) => {
  const shown: Shown = { output: '', status: null };
  /** What became of each command while everything was up. */
  const tried: { command: string; code: number | null; stdout: string; stderr: string }[] = [];
  let top: readonly string[] = [];

  beforeAll(async () => {
    const child = spawn(process.execPath, [...demo, '--runtime', runtime, '--keep'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (shown.output += text));
    for await (const line of createInterface({ input: child.stdout })) {
      shown.output += `${line}\n`;
      if (!line.includes('until Ctrl-C')) continue;
      const commands = commandsOf(shown.output);
      for (const command of commands.slice(0, 4)) {
        const options = { cwd: root, encoding: 'utf8', timeout: 60_000 } as const;
        const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', command], options);
        tried.push({ command, code: status, stdout, stderr });
      }
      const terminal = await Terminal.open();
      try {
        await terminal.run(`cd ${root}; clear`);
        await terminal.run(commands[4] ?? 'false');
        top = await terminal.shows(/SERVICES[^]*gc-worker {8}\w+[^]*\[#/);
        await terminal.press('q');
      } finally {
        await terminal.close();
        child.kill('SIGINT');
      }
    }
    shown.status = await ended;
  }, 600_000);

  itKeepsItsPromises(shown);

  it('the commands that it prints work as they stand there', () => {
    expect(tried.map(({ stderr }) => stderr)).toEqual(['', '', '', '']);
    const [status, why, plan, doctor] = tried.map(({ code, stdout }) => `${code} ${stdout}`);
    expect(status).toMatch(/^0 NODE +SERVICE[^]*demo-node +gc-worker +ok/);
    expect(why).toMatch(/^0 [^]*it is not there[^]*ImageRemoved +gc-worker removed/);
    expect(plan).toMatch(/^0 demo-node: plan-\w+ \(request\) removes [1-9]/);
    // What it finds is a matter of this machine; that it finds its way is not.
    expect(doctor).toMatch(/^(0 nothing is wrong: 1 nodes looked at, 3 services ok|1 LEVEL)/);
    expect(doctor).not.toMatch(/service-absent|services-absent|service-down/);
    expect(top.join('\n')).toMatch(/demo-node[^]*SERVICES[^]*DISKS[^]*PULLS[^]*EVENTS/);
  });
});
