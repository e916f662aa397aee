import { spawnSync } from 'node:child_process';
import path from 'node:path';

it('package-lock.json names every optional package, as npm ci wants it', () => {
  const script = path.join(__dirname, 'complete-lockfile.mjs');
  const { stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  expect(stderr).toBe('');
});
