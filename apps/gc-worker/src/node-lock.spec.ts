import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { lockRuntime } from './node-lock';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'gc-lock-'));
  mkdirSync(path.join(folder, 'run'));
  symlinkSync(path.join(folder, 'run'), path.join(folder, 'var-run'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe('lockRuntime', () => {
  it('refuses a second one for the same socket, by whatever path, also before the socket is there', async () => {
    const first = await lockRuntime(`unix://${folder}/run/containerd.sock`);
    const message = (socket: string) =>
      `another gc-worker works on the runtime at ${socket}: two would remove each other's images`;
    await expect(lockRuntime(`unix://${folder}/run/containerd.sock`)).rejects.toThrow(
      message(`${folder}/run/containerd.sock`),
    );
    await expect(lockRuntime(`${folder}/var-run/containerd.sock`)).rejects.toThrow(
      message(`${folder}/var-run/containerd.sock`),
    );
    const other = await lockRuntime(`unix://${folder}/run/other.sock`);
    await first.release();
    const again = await lockRuntime(`unix://${folder}/run/containerd.sock`);
    await Promise.all([again.release(), other.release()]);
  });
});
