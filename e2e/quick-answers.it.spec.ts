import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runApp } from '@stowage/testing';

/** main.js of a bundle and all that it loads, at once or later, but service.js. */
function filesOfMain(bundle: string): string[] {
  const found = new Set(['main.js']);
  for (const file of found) {
    const code = readFileSync(path.join(bundle, file), 'utf8');
    for (const [, loaded = ''] of code.matchAll(/\brequire\("\.\/([^"]+\.js)"\)/g)) {
      if (loaded !== 'service.js') found.add(loaded);
    }
  }
  return [...found];
}

/** A module that prints how much code, in bytes, was loaded when the process ends. */
const printsWhatWasLoaded = `data:text/javascript,${encodeURIComponent(`
  import { statSync } from 'node:fs';
  import { createRequire } from 'node:module';
  const files = createRequire('/').cache;
  process.once('exit', () => {
    const sizes = Object.keys(files).map((file) => statSync(file).size);
    process.stdout.write('loaded: ' + sizes.reduce((sum, size) => sum + size));
  });
`)}`;

/**
 * Questions about a service are answered by main.js and the files that it loads: nothing of what
 * only a running service needs is read for them. bench/start measures what that is worth.
 */
describe.each(['runtime-gateway', 'image-service', 'gc-worker', 'docker-shim'])('%s', (app) => {
  let folder: string;
  const run = (...args: string[]) =>
    runApp(path.join(folder, 'main.js'), {
      args,
      env: { STOWAGE_NODE_NAME: 'node-1', STOWAGE_LISTEN: '/run/x.sock' },
    });

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'stowage-main-'));
    const bundle = path.resolve(__dirname, '../dist/apps', app);
    for (const file of filesOfMain(bundle)) {
      copyFileSync(path.join(bundle, file), path.join(folder, file));
    }
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([
    [['--version'], new RegExp(`^${app} \\d+\\.\\d+\\.\\d+\n$`)],
    [['--help'], /^STOWAGE_NODE_NAME {2}\(nodeName\*?/m],
    [['-h'], new RegExp(`usage: ${app} `)],
    [['--check-config'], /^ {2}nodeName: "node-1" # environment$/m],
    [['--version', '--config', '/dev/null'], new RegExp(`^${app} `)],
  ])('%j', async (args, text) => {
    const { code, stdout, stderr } = await run(...args);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(text);
  });

  it('little code is loaded for the help, and next to none for the version', () => {
    const loaded = (question: string) => {
      const main = path.join(folder, 'main.js');
      const args = ['--import', printsWhatWasLoaded, main, question];
      const printed = execFileSync(process.execPath, args, { encoding: 'utf8' });
      return Number(/\nloaded: (\d+)$/.exec(printed)?.[1]);
    };
    expect(loaded('--version')).toBeLessThan(50_000);
    expect(loaded('--help')).toBeLessThan(500_000);
  });

  it('a wrong command line is refused as ever', async () => {
    const { code, stderr } = await run('--help', '--hlep');
    expect([code, stderr]).toEqual([64, expect.stringMatching(/unknown flag "--hlep"/)]);
  });

  it('is run by what is beside it', async () => {
    expect((await run()).stderr).toMatch(/Cannot find module '\.\/service\.js'/);
  });
});
