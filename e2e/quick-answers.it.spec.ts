import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runApp } from '@stowage/testing';

/**
 * Questions about a service are answered by main.js alone: nothing of what a running service needs
 * is read for them. bench/start measures what that is worth.
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
    const main = path.resolve(__dirname, '../dist/apps', app, 'main.js');
    copyFileSync(main, path.join(folder, 'main.js'));
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

  it('a wrong command line is refused as ever', async () => {
    const { code, stderr } = await run('--help', '--hlep');
    expect([code, stderr]).toEqual([64, expect.stringMatching(/unknown flag "--hlep"/)]);
  });

  it('is run by what is beside it', async () => {
    expect((await run()).stderr).toMatch(/Cannot find module '\.\/service\.js'/);
  });
});
