import { spawnSync } from 'node:child_process';
import path from 'node:path';

/**
 * The demo starts the whole suite on a real stack and ends with exit code 0 only if it saw what it
 * promises.
 */
describe.each(['containerd', 'docker'])('npm run demo -- --runtime %s', (runtime) => {
  const root = path.resolve(__dirname, '..');
  let output = '';
  let status: number | null = null;

  beforeAll(() => {
    const demo = path.join(root, 'tools', 'demo', 'main.ts');
    const run = spawnSync(process.execPath, ['--import', 'tsx', demo, '--runtime', runtime], {
      cwd: root,
      encoding: 'utf8',
      timeout: 580_000,
    });
    output = `${run.stdout}${run.stderr}`;
    status = run.status;
  }, 600_000);

  it('sees each of its promises kept', () => {
    expect(output).not.toMatch(/^ {3}NO {3}/m);
    expect(output.match(/^ {3}yes {2}/gm)).toHaveLength(13);
    expect(status).toBe(0);
  });

  it('publishes no end of the pod, which runs until the services are gone', () => {
    expect(output).toContain('PodSandboxStarted 1,');
    expect(output).not.toContain('PodSandboxStopped');
  });

  it('gives a rule for every image of the collection', () => {
    expect(output).toMatch(/removed\s+\S+team\/private:1\.0\s+threshold/);
    expect(output).toMatch(/kept\s+\S+demo\/web:2\.1\s+in-use\s+container web/);
    expect(output).toMatch(/kept\s+\S+ops\/toolbox:stable\s+(exempt|pinned)/);
  });
});
