import { spawn } from 'node:child_process';
import path from 'node:path';
import { withLock } from './lock';

it('actions under one name run one after the other, in this process too', async () => {
  let inside = 0;
  let most = 0;
  const action = async () => {
    inside += 1;
    most = Math.max(most, inside);
    await new Promise((resolve) => setImmediate(resolve));
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 20 }, () => withLock('lock-spec', action)));
  expect(most).toBe(1);
});

it('actions under two names do not wait for each other', async () => {
  expect(
    await withLock('lock-spec-a', () => withLock('lock-spec-b', () => Promise.resolve(1))),
  ).toBe(1);
});

it('an action that fails releases the lock', async () => {
  const failing = withLock('lock-spec', () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(await withLock('lock-spec', () => Promise.resolve('free'))).toBe('free');
});

it('the lock of a process that is killed is free at once', async () => {
  const script = `require(${JSON.stringify(path.join(__dirname, 'lock.ts'))})
    .withLock('lock-spec-killed', () => { console.log('held'); return new Promise(() => setInterval(() => {}, 1e6)); })`;
  const holder = spawn(
    process.execPath,
    ['--require', require.resolve('tsx/cjs'), '--eval', script],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  const waiting = withLock('lock-spec-killed', () => Promise.resolve('mine'));
  holder.kill('SIGKILL');
  expect(await waiting).toBe('mine');
});

it('a waiting process is notified, and may give up', async () => {
  const stop = new AbortController();
  await withLock('lock-spec', async () => {
    const waiting = withLock('lock-spec', () => Promise.resolve('mine'), {
      onWait: () => stop.abort(new Error('had enough')),
      signal: stop.signal,
    });
    await expect(waiting).rejects.toThrow('had enough');
  });
  expect(await withLock('lock-spec', () => Promise.resolve('free'))).toBe('free');
});
