import { checkInput, runtimeGateway } from '@stowage/commands';
import { CommandExitError, CommandTimeoutError } from '@stowage/cri-client';
import type { ExecSyncResponse } from '@stowage/cri-proto';
import { maxOutputBytes, runInContainer } from './run-in-container';

const { signal } = new AbortController();
const input = { containerId: 'c', command: ['id', '-u'], timeoutSeconds: 7 };
const bytes = (text: string) => Buffer.from(text);
const runtime = (answer: () => Promise<ExecSyncResponse>) => ({ execSync: jest.fn(answer) });
const says = (stdout: Uint8Array, stderr = bytes('')) =>
  runtime(() => Promise.resolve({ stdout, stderr, exitCode: 0 }));

test('asks the runtime with the time limit, and answers outputs and code', async () => {
  const asked = says(bytes('0\n'), bytes('warning'));
  expect(await runInContainer(asked, input, { signal })).toEqual({
    exitCode: 0,
    stdout: '0\n',
    stderr: 'warning',
    truncated: false,
  });
  expect(asked.execSync).toHaveBeenCalledWith(
    { containerId: 'c', cmd: ['id', '-u'], timeout: 7n },
    { signal },
  );
});

test('an exit code is an answer', async () => {
  const failing = runtime(() =>
    Promise.reject(new CommandExitError(['id'], 3, bytes('out'), bytes('err'))),
  );
  expect(await runInContainer(failing, input, { signal })).toEqual({
    exitCode: 3,
    stdout: 'out',
    stderr: 'err',
    truncated: false,
  });
});

test('a command that runs out of time is not named', async () => {
  const slow = runtime(() =>
    Promise.reject(
      new CommandTimeoutError(['id', '-u'], 'command timed out: "id -u" timed out after 7s'),
    ),
  );
  await expect(runInContainer(slow, input, { signal })).rejects.toMatchObject({
    grpcStatus: 'DEADLINE_EXCEEDED',
    message: 'command in c timed out after 7000 ms',
  });
});

test('a command that ran out of time is an error, too, where the runtime answers with OK', async () => {
  const timedOut = runtime(() =>
    Promise.reject(new CommandExitError(['id', '-u'], -1, bytes(''), bytes('command timed out'))),
  );
  await expect(runInContainer(timedOut, input, { signal })).rejects.toMatchObject({
    grpcStatus: 'DEADLINE_EXCEEDED',
    message: 'command in c timed out after 7000 ms',
  });
});

test.each([
  [-1, 'exec failed'],
  [1, 'command timed out'],
])('exit code %i with %j is an answer', async (exitCode, stderr) => {
  const failing = runtime(() =>
    Promise.reject(new CommandExitError(['id'], exitCode, bytes(''), bytes(stderr))),
  );
  expect(await runInContainer(failing, input, { signal })).toMatchObject({ exitCode, stderr });
});

test('other errors are errors', async () => {
  const failing = runtime(() => Promise.reject(new Error('gone')));
  await expect(runInContainer(failing, input, { signal })).rejects.toThrow('gone');
});

test('outputs are cut, between characters', async () => {
  const { stdout, truncated } = await runInContainer(
    says(bytes('ü'.repeat(maxOutputBytes))),
    input,
    { signal },
  );
  expect(truncated).toBe(true);
  expect(stdout).toBe('ü'.repeat(maxOutputBytes / 2));
  const odd = await runInContainer(says(bytes(`x${'ü'.repeat(maxOutputBytes)}`)), input, {
    signal,
  });
  expect(odd.stdout).toBe(`x${'ü'.repeat(maxOutputBytes / 2 - 1)}`);
  const full = await runInContainer(says(Buffer.alloc(maxOutputBytes, 0x61)), input, { signal });
  expect(full.truncated).toBe(false);
});

test.each([
  ['no command', { containerId: 'c', command: [] }],
  ['a command line', { containerId: 'c', command: 'id -u' }],
  ['no container', { containerId: '', command: ['id'] }],
  ['no time', { containerId: 'c', command: ['id'], timeoutSeconds: 0 }],
  ['part of a second', { containerId: 'c', command: ['id'], timeoutSeconds: 0.5 }],
  ['more than an hour', { containerId: 'c', command: ['id'], timeoutSeconds: 3601 }],
  ['an unknown key', { containerId: 'c', command: ['id'], tty: true }],
])('%s is refused', (_what, wrong) => {
  expect(checkInput(runtimeGateway.exec, wrong)).toHaveProperty('problem');
});

test('the time limit is 10 s unless said otherwise', () => {
  expect(checkInput(runtimeGateway.exec, { containerId: 'c', command: ['id'] })).toEqual({
    input: { containerId: 'c', command: ['id'], timeoutSeconds: 10 },
  });
});
