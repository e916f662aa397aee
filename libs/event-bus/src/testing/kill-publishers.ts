import { eventually } from '@stowage/testing';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';

const root = path.join(__dirname, '../../../..');

/**
 * Runs a publisher of 300 events on the state directory again and again, each killed with SIGKILL
 * at a random point from its first write to its last acknowledgement. The ids that the publishers
 * reported as written.
 */
export async function killPublishers(
  stateDir: string,
  url: string,
  rounds: number,
): Promise<{ written: string[]; killedBeforeDelivered: number }> {
  const written: string[] = [];
  let killedBeforeDelivered = 0;
  for (let round = 0; round < rounds; round += 1) {
    const script = path.join(__dirname, 'publisher-process.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', script, stateDir, url, '300'], {
      env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    const lines: string[] = [];
    createInterface(child.stdout).on('line', (line) => lines.push(line));
    try {
      await eventually(() => lines.length > 0, { timeoutMs: 60_000 });
      child.stdin.write('go\n');
      // Half of them around the writes, half of them while the events are sent.
      if (round % 2 === 1)
        await eventually(() => lines.some((line) => line.startsWith('written')), {
          timeoutMs: 60_000,
        });
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
    } finally {
      child.kill('SIGKILL');
      await closed;
    }
    for (const line of lines) {
      if (line.startsWith('written ')) written.push(...line.split(' ').slice(1));
    }
    if (!lines.includes('delivered')) killedBeforeDelivered += 1;
  }
  return { written, killedBeforeDelivered };
}
