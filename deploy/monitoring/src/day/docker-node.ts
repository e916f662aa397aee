import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { SpdyClient } from '@stowage/cri-streaming/testing';
import {
  dockerShimOn,
  eventually,
  freePort,
  spawnApp,
  startStack,
  type AppProcess,
  type Stack,
} from '@stowage/testing';

/** A node with docker-shim on a real Docker Engine, with pods on a CNI plugin that does nothing. */
export class DockerNode {
  readonly name = 'day-3.example';
  readonly images;
  readonly runtime;

  private constructor(
    readonly stack: Stack,
    private readonly shim: AppProcess,
    /** Host and port of its metrics. */
    readonly address: string,
    endpoint: string,
    /** Folder of the logs of pods: a small file system of its own. */
    private readonly logs: string,
  ) {
    this.images = connectImageService({ endpoint });
    this.runtime = connectRuntimeService({ endpoint });
  }

  static async start(natsUrl: string): Promise<DockerNode> {
    const stack = await startStack({ docker: {}, nats: false });
    const logs = path.join(stack.dir, 'pod-logs');
    try {
      mkdirSync(logs);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'stowage-day', logs]);
      const { endpoint, env } = dockerShimOn(stack);
      const address = `127.0.0.1:${await freePort()}`;
      const shim = await spawnApp('docker-shim', {
        env: {
          ...env,
          ...pluginOf(stack.dir),
          STOWAGE_NODE_NAME: 'day-3.example',
          STOWAGE_NATS_SERVERS: natsUrl,
          STOWAGE_HTTP_ADDR: address,
          STOWAGE_IMPORT_CHECKPOINTS_FROM: '',
          STOWAGE_DOCKER_CONFIG_DIRS: stack.dir,
        },
      });
      return new DockerNode(stack, shim, address, endpoint, logs);
    } catch (error) {
      await end(stack, logs);
      throw error;
    }
  }

  /** A pod that writes a log, and all that is asked of one; it runs on. Returns its id. */
  async runPod(name: string): Promise<string> {
    const { runtime, images } = this;
    // It ends with the engine at once.
    const pushed = await this.stack.pushImage({ name: 'day/shell', stopSignal: 'SIGKILL' });
    const image = { image: pushed.reference };
    await images.pullImage({ image });
    await images.imageStatus({ image: { image: 'day/none:1' } });
    const sandboxConfig = {
      metadata: { name, namespace: 'day', uid: `day-${name}`, attempt: 0 },
      logDirectory: this.logs,
    };
    const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig });
    const line = 'x'.repeat(1000);
    const request = {
      podSandboxId,
      sandboxConfig,
      config: {
        metadata: { name: 'shell', attempt: 0 },
        image,
        command: ['/bin/sh', '-c', `while echo ${line}; do sleep 1; done`],
        logPath: `${name}.log`,
      },
    };
    const { containerId } = await runtime.createContainer(request);
    await runtime.startContainer({ containerId });
    await runtime.createContainer(request).catch(() => undefined); // its name is taken
    await runtime.containerStatus({ containerId: 'none' }).catch(() => undefined);
    await runtime.containerStats({ containerId });
    await runtime.execSync({ containerId, cmd: ['/bin/true'], timeout: 10n });
    const endless = { containerId, cmd: ['/bin/sleep', '100'], timeout: 1n };
    await runtime.execSync(endless).catch(() => undefined); // it is killed
    await this.#session(containerId);
    return podSandboxId;
  }

  /** Stops and removes a pod. */
  async removePod(podSandboxId: string): Promise<void> {
    await this.runtime.stopPodSandbox({ podSandboxId });
    await this.runtime.removePodSandbox({ podSandboxId });
  }

  /** Lists and inspections, once each. */
  async ask(): Promise<void> {
    await this.images.listImages({});
    await this.images.imageStatus({ image: { image: 'day/none:1' } });
  }

  /** A session of exec, as of `kubectl exec`. */
  async #session(containerId: string): Promise<void> {
    const streams = { stdin: true, stdout: true, stderr: true };
    const { url } = await this.runtime.exec({ containerId, cmd: ['/bin/cat'], ...streams });
    const client = await SpdyClient.open(url, { protocols: ['v4.channel.k8s.io'] });
    try {
      const [error, stdin] = await Promise.all(
        ['error', 'stdin', 'stdout', 'stderr'].map((streamType) =>
          client.createStream({ streamType }),
        ),
      );
      if (stdin !== undefined) client.end(stdin);
      await eventually(() => error?.isEnded === true, { what: 'the session to end' });
    } finally {
      client.close();
    }
  }

  /** Waits until it has reached the engine, and again after the engine was away. */
  async ready(): Promise<void> {
    await eventually(async () => (await this.shim.readiness()).status === 200, {
      what: 'docker-shim to reach its engine',
    });
  }

  /** Fills the file system of the logs; returns what frees it. */
  fillLogs(): () => void {
    const file = path.join(this.logs, 'filler');
    try {
      writeFileSync(file, Buffer.alloc(2 ** 21));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
    return () => rmSync(file);
  }

  async down(): Promise<void> {
    this.images.close();
    this.runtime.close();
    try {
      await this.shim.stop();
    } finally {
      await end(this.stack, this.logs);
    }
  }
}

async function end(stack: Stack, logs: string): Promise<void> {
  try {
    execFileSync('umount', ['-l', logs]);
  } finally {
    await stack.down();
  }
}

/** A CNI plugin that answers and makes nothing, and its configuration. */
function pluginOf(dir: string): Record<string, string> {
  const [confDir, binDir] = [path.join(dir, 'cni-conf'), path.join(dir, 'cni-bin')];
  for (const folder of [confDir, binDir]) mkdirSync(folder);
  const list = { cniVersion: '1.0.0', name: 'day', plugins: [{ type: 'day' }] };
  writeFileSync(path.join(confDir, '10-day.conflist'), JSON.stringify(list));
  const versions = { cniVersion: '1.0.0', supportedVersions: ['0.4.0', '1.0.0'] };
  const result = { cniVersion: '1.0.0', ips: [{ address: '10.99.0.2/24' }] };
  const program = path.join(binDir, 'day');
  writeFileSync(
    program,
    `#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '${JSON.stringify(versions)}' ;;
ADD) echo '${JSON.stringify(result)}' ;;
esac
`,
  );
  chmodSync(program, 0o755);
  return {
    STOWAGE_NETWORK_MODE: 'cni',
    STOWAGE_CNI_CONF_DIR: confDir,
    STOWAGE_CNI_BIN_DIRS: binDir,
    STOWAGE_CNI_CACHE_DIR: path.join(dir, 'cni-cache'),
  };
}
