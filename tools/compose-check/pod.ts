import { readFileSync } from 'node:fs';
import path from 'node:path';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { eventually } from '@stowage/testing';

/** What the pod of the check is made of. */
interface PodCheckOptions {
  /** Path of docker-shim's socket. */
  readonly socket: string;
  /** Folder of pod logs, at the same path in the container of docker-shim. */
  readonly podLogs: string;
  /** An image of the engine that has Node.js. */
  readonly image: string;
}

const line = 'written by a pod';
const program = `console.log('${line}'); setInterval(() => undefined, 1000)`;

/**
 * Runs a pod through docker-shim in its container, and looks at all that needs something of the
 * host: the log file, the numbers in control groups, and the end of a command at its time limit.
 *
 * @returns what was seen, a line each.
 */
export async function checkPod({ socket, podLogs, image }: PodCheckOptions): Promise<string[]> {
  const endpoint = `unix://${socket}`;
  const runtime = connectRuntimeService({ endpoint });
  const images = connectImageService({ endpoint });
  try {
    const { image: found } = await images.imageStatus({ image: { image } });
    if (found === undefined) throw new Error(`docker-shim does not know ${image}`);
    const sandboxConfig = {
      metadata: { name: 'checked', namespace: 'default', uid: 'compose-check', attempt: 0 },
      logDirectory: path.join(podLogs, 'default_checked_compose-check'),
    };
    const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig });
    try {
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig,
        config: {
          metadata: { name: 'main', attempt: 0 },
          image: { image },
          command: ['node', '-e', program],
          logPath: 'main/0.log',
        },
      });
      await runtime.startContainer({ containerId });
      const logFile = path.join(sandboxConfig.logDirectory, 'main/0.log');
      const [written = ''] = await eventually(
        () => readFileSync(logFile, 'utf8').match(new RegExp(`.* stdout F ${line}$`, 'm')),
        { timeoutMs: 30_000 },
      );
      const usedBytes = await eventually(
        async () => {
          const { stats } = await runtime.containerStats({ containerId });
          return stats?.memory?.workingSetBytes?.value;
        },
        { timeoutMs: 30_000 },
      );
      const left = await killedCommand(runtime, containerId);
      return [
        `its log: ${written}`,
        `its working set: ${String(usedBytes / 1_000_000n)} MB`,
        `a command over its time limit: ${left}`,
      ];
    } finally {
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    }
  } finally {
    runtime.close();
    images.close();
  }
}

/** Runs a command beyond its time limit, and looks for it afterwards. */
async function killedCommand(
  runtime: ReturnType<typeof connectRuntimeService>,
  containerId: string,
): Promise<string> {
  const sleep = 'setTimeout(() => undefined, 654321)';
  const code = await runtime
    .execSync({ containerId, cmd: ['node', '-e', sleep], timeout: 2n })
    .then(
      () => undefined,
      (error: unknown) => (error as { grpcStatus?: string }).grpcStatus,
    );
  if (code !== 'DEADLINE_EXCEEDED') throw new Error(`it ended with ${code ?? 'success'}`);
  const look = `require('fs').readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).forEach((name) => {
    try { console.log(require('fs').readFileSync('/proc/' + name + '/cmdline', 'utf8').replaceAll('\\0', ' ')); } catch {}
  })`;
  const { stdout } = await runtime.execSync({
    containerId,
    cmd: ['node', '-e', look],
    timeout: 30n,
  });
  if (Buffer.from(stdout).toString().includes('654321')) throw new Error('it still runs');
  return 'killed';
}
