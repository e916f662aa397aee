import {
  dockerShimOn,
  spawnApp,
  startStack,
  type Stack,
  type StackOptions,
} from '@stowage/testing';

/** The container runtime that the demo runs on. */
export interface DemoRuntime {
  /** With its version. */
  readonly title: string;
  /** Where the CRI is served. */
  readonly endpoint: string;
  /** Below it lie its images. */
  readonly root: string;
  /**
   * Pulls an image past the suite, as an operator would, and lets the operator keep it. Returns the
   * name of the rule that keeps it.
   */
  pullKept(reference: string): Promise<string>;
}

/** The names that `--runtime` takes. */
export const runtimeNames = ['containerd', 'docker'] as const;
export type RuntimeName = (typeof runtimeNames)[number];

/** Starts the servers of the demo with a file system of this size for images, megabytes. */
export function startServers(runtime: RuntimeName, filesystemMb: number): Promise<Stack> {
  const options: StackOptions = runtime === 'docker' ? { docker: {} } : {};
  return startStack({ ...options, filesystemMb });
}

/** Prepares the runtime of a stack; `undo` takes what has to end before the stack goes. */
export function prepareRuntime(
  runtime: RuntimeName,
  stack: Stack,
  undo: (() => Promise<unknown>)[],
): Promise<DemoRuntime> {
  return runtime === 'docker' ? docker(stack, undo) : Promise.resolve(containerd(stack));
}

function containerd(stack: Stack): DemoRuntime {
  const { containerd: server } = stack;
  const { major, minor, patch } = server.version;
  return {
    title: `containerd ${major}.${minor}.${patch}`,
    endpoint: server.endpoint,
    root: server.root,
    async pullKept(reference) {
      await stack.pullImage(reference);
      await server.ctr('images', 'label', reference, 'io.cri-containerd.pinned=pinned');
      // Pinned comes before exempt, where the runtime says that it is pinned.
      return server.reportsPinned ? 'pinned' : 'exempt rule **/toolbox:*';
    },
  };
}

async function docker(stack: Stack, undo: (() => Promise<unknown>)[]): Promise<DemoRuntime> {
  const { docker: engine } = stack;
  const { major, minor, patch } = engine.version;
  const { endpoint, env } = dockerShimOn(stack);
  const shim = await spawnApp('docker-shim', {
    env: {
      ...env,
      STOWAGE_NODE_NAME: 'demo-node',
      STOWAGE_PINNED_IMAGES: '*/toolbox:*',
      STOWAGE_NATS_SERVERS: stack.nats.url,
    },
  });
  undo.push(() => shim.stop());
  return {
    title: `Docker Engine ${major}.${minor}.${patch} through docker-shim`,
    endpoint,
    root: engine.root,
    async pullKept(reference) {
      const colon = reference.lastIndexOf(':');
      const query = new URLSearchParams({
        fromImage: reference.slice(0, colon),
        tag: reference.slice(colon + 1),
      });
      await engine.api('POST', `/images/create?${query.toString()}`);
      return 'pinned';
    },
  };
}
