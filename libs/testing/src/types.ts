/** What a test stack consists of. Everything is on unless said otherwise. */
export interface StackOptions {
  /** The container runtime, with a CNI bridge of its own. Default true; needs root. */
  containerd?: boolean;
  /** A Docker Engine of this kind in the place of the container runtime. Needs root. */
  docker?: DockerOptions;
  /** A CRI-O of this kind, whatever runtime the other tests run on. Needs `STOWAGE_TEST_CRIO`. */
  crio?: CrioOptions;
  /** An open registry and one that asks for a password. Default true. */
  registries?: boolean;
  /** nats-server with JetStream. Default true. */
  nats?: boolean;
  /**
   * Size in MiB of an ext4 file system of its own for the runtime's images and snapshots, so that
   * disk percentages are those of the test. Absent: the runtime's root is a folder on the machine's
   * disk. At least 16.
   */
  filesystemMb?: number;
  /** Inodes of that file system, rounded up by ext4. Absent: one for some kilobytes. */
  filesystemInodes?: number;
}

/** How a stack's Docker Engine is set up. */
export interface DockerOptions {
  /**
   * Where it keeps images: with its own drivers, or with containerd's (Docker Engine 24 and later).
   * Default: as `STOWAGE_TEST_DOCKER_IMAGE_STORE` says, else its own.
   */
  imageStore?: 'graph-driver' | 'containerd';
  /** Whether containers run on while the engine is stopped. Default false. */
  liveRestore?: boolean;
  /** Whether it is started with the stack; else the test starts it. Default true. */
  started?: boolean;
}

/** How a stack's CRI-O is set up. What is absent is as the environment says, else the default. */
export interface CrioOptions {
  /** Whether it serves GetContainerEvents (`enable_pod_events`). Default true. */
  events?: boolean;
  /** The OCI runtime. Default `runc`. */
  ociRuntime?: OciRuntime;
  /**
   * Images in a folder of their own, apart from the containers (`imagestore`): the runtime's `root`
   * is that one. Default false.
   */
  imageStore?: boolean;
  /**
   * Signature policy by the host of a registry, or `default`: which images may be pulled, as in
   * containers-policy.json(5). Default: every image.
   */
  policy?: Readonly<Record<string, readonly object[]>>;
}

export type OciRuntime = 'runc' | 'crun';

/** A running test stack. Parts that were switched off throw when they are asked for. */
export interface Stack {
  /** Eight hexadecimal digits that no other stack on this machine has. */
  readonly id: string;
  /**
   * A temporary folder for the test's own files; it goes with the stack. Its path is short enough
   * for sockets.
   */
  readonly dir: string;
  /** The container runtime: containerd, or the CRI-O that `STOWAGE_TEST_CRIO` names. */
  readonly runtime: Containerd | Crio;
  /** The same, for what only containerd has. Throws on another runtime. */
  readonly containerd: Containerd;
  /** The Docker Engine, where the stack was started with one. */
  readonly docker: DockerEngine;
  readonly registry: Registries;
  readonly nats: NatsServer;
  /** Reference of the image that the runtime runs in every pod sandbox. */
  readonly sandboxImage: string;
  /** Builds an image and pushes it to a registry of the stack. Takes some 20 ms for a small one. */
  pushImage(image: TestImage): Promise<PushedImage>;
  /** Pulls an image through the runtime's own CRI socket and returns its image id. */
  pullImage(reference: string, auth?: { username: string; password: string }): Promise<string>;
  /**
   * Runs a pod with one container, through the runtime's own CRI socket. The image is pulled if
   * absent.
   */
  runPod(pod: TestPod): Promise<RunningPod>;
  /** The last lines of each server's log, for the message of a failing test. */
  logs(options?: { linesEach?: number }): string;
  /** Removes everything: processes, mounts, network links, folder. May be called twice. */
  down(): Promise<void>;
}

/** A server of the stack. Its address stays the same over `stop` and `start`. */
export interface Server {
  /** Ends the server with SIGTERM and waits; one that is stopped already is fine. */
  stop(): Promise<void>;
  /** Starts it again on the same data and waits until it answers. */
  start(): Promise<void>;
  /** `stop` and `start`. */
  restart(): Promise<void>;
  /** Ends it with SIGKILL, as a crash would. */
  kill(): Promise<void>;
  /**
   * Freezes it with SIGSTOP: connections stay, nothing is answered. `kill` works, `stop` needs
   * `resume` first.
   */
  pause(): void;
  /** Lets it go on; one that is not frozen is fine. */
  resume(): void;
  readonly running: boolean;
  /** Of its process; undefined while it is stopped. */
  readonly pid: number | undefined;
  /** What it has logged so far, all starts together. */
  log(): string;
}

/** What every runtime of a stack has. Containers keep running while it is stopped. */
export interface Runtime extends Server {
  /** As it names itself in the CRI. */
  readonly name: 'containerd' | 'cri-o';
  /** Path of its unix socket. */
  readonly socket: string;
  /** `unix://` and the path. */
  readonly endpoint: string;
  /** Its root folder, where images and layers lie: the mount point with `filesystemMb`. */
  readonly root: string;
  readonly version: RuntimeVersion;
  /** Whether it reports the sandbox image as pinned (containerd 1.6.22, 1.7.3 and later; CRI-O). */
  readonly reportsPinned: boolean;
  /**
   * Whether every reader of GetContainerEvents gets every event, so that runtime-gateway reads them
   * (containerd 2.0 and later).
   */
  readonly hasEventStream: boolean;
  /**
   * How often a layer lies on its disk: containerd keeps it as it came and unpacked, CRI-O unpacked
   * alone.
   */
  readonly layerCopies: 1 | 2;
  /**
   * The image id in CRI of an image whose configuration has this digest: CRI-O leaves `sha256:`
   * out.
   */
  imageIdOf(configDigest: string): string;
  /** Names and ids of the images that it has, asked past every service of the suite. */
  imageNames(): Promise<string[]>;
  /** Removes images with all their names, past every service of the suite. */
  removeImages(imageIds: readonly string[]): Promise<void>;
}

/** The stack's CRI-O. */
export interface Crio extends Runtime {
  readonly name: 'cri-o';
  /** Its configuration file, read when it starts. */
  readonly configFile: string;
  /** Folder that layers are downloaded into. */
  readonly downloads: string;
}

export interface Containerd extends Runtime {
  readonly name: 'containerd';
  /** Runs containerd's command-line client in the CRI's namespace and returns what it printed. */
  ctr(...args: string[]): Promise<string>;
  /**
   * Whether it serves the CRI from its next start on, or only its own API, as containerd does
   * where `cri` stands among its `disabled_plugins`. Default true.
   */
  serveCri(isServed: boolean): void;
}

/** The stack's Docker Engine. */
export interface DockerEngine extends Server {
  /** Path of its unix socket. */
  readonly socket: string;
  /** `unix://` and the path. */
  readonly endpoint: string;
  /** Its data root. */
  readonly root: string;
  readonly version: RuntimeVersion;
  readonly imageStore: 'graph-driver' | 'containerd';
  /**
   * Control group of its containers, below each hierarchy; parents that tests ask for lie below it,
   * so that they are removed.
   */
  readonly cgroupParent: string;
  /** Folder of its specifications of devices (CDI), which it watches from 25 on. */
  readonly cdiDir: string;
  /**
   * One call of its API, past every service of the suite: the JSON of the answer (of a stream, of
   * its first line), or its text. Throws with the answer when the status is 300 or more.
   */
  api(method: string, target: string, body?: unknown): Promise<unknown>;
  /** Other settings of its configuration file, on top of the stack's, from its next start on. */
  configure(settings: Readonly<Record<string, unknown>>): void;
}

export interface RuntimeVersion {
  major: number;
  minor: number;
  patch: number;
}

export interface NatsServer extends Server {
  /** `nats://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
}

export interface Registries {
  /**
   * Answers without a password, also for docker.io, registry.k8s.io, gcr.io, ghcr.io and quay.io.
   */
  readonly open: Registry;
  /** Answers only with the user name and password. */
  readonly auth: Registry & { readonly username: string; readonly password: string };
}

export interface Registry extends Server {
  /** `127.0.0.1:PORT`: the first part of an image reference. */
  readonly host: string;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
}

/**
 * An image to build. Its content is random bytes from a seed: the same on each run, and not
 * compressible.
 */
export interface TestImage {
  /** Repository name, for example `team/app`. */
  name: string;
  /** One tag or several for the same image. Default `latest`. */
  tag?: string | readonly string[];
  /** Which registry. Default `open`. */
  to?: 'open' | 'auth';
  /**
   * Size in MiB of all layers together, the busybox layer (about 2 MiB) included. Default: as small
   * as can be.
   */
  sizeMb?: number;
  /** Layers instead of `sizeMb`. Images that name the same seed and size share the layer. */
  layers?: readonly TestLayer[];
  /**
   * With busybox as the lowest layer, shared by all images. Default true; false makes an image of
   * data only.
   */
  runnable?: boolean;
  /** What a container runs. Default: a shell that waits and ends at once on SIGTERM. */
  command?: readonly string[];
  entrypoint?: readonly string[];
  /** Signal that a runtime ends its containers with, for instance `SIGKILL`. Default: SIGTERM. */
  stopSignal?: string;
  /** `user[:group]`, ids or names. */
  user?: string;
  /** `NAME=value` */
  env?: readonly string[];
  labels?: Readonly<Record<string, string>>;
  /**
   * Additional files by absolute path, for instance scripts, in a layer of their own; mode 0755.
   */
  files?: Readonly<Record<string, string>>;
}

export interface TestLayer {
  seed: string;
  /** Size in MiB; may have a fraction. */
  sizeMb: number;
}

export interface PushedImage {
  /** `host/name:tag`, with the first tag. */
  reference: string;
  /** `host/name@sha256:…` */
  repoDigest: string;
  /** Digest of the manifest. */
  digest: string;
  /**
   * The image id in CRI: the digest of the image configuration, as the stack's runtime spells it
   * (CRI-O without `sha256:`).
   */
  imageId: string;
  /** Bytes that a pull transfers: manifest, configuration and layers. */
  sizeBytes: number;
  layers: readonly { digest: string; sizeBytes: number }[];
}

export interface TestPod {
  image: string;
  /** Instead of the image's own command. */
  command?: readonly string[];
  auth?: { username: string; password: string };
  /** Name of the pod. Default: one that no other pod of the stack has. */
  name?: string;
  /** Default `default`. */
  namespace?: string;
  labels?: Readonly<Record<string, string>>;
}

export interface RunningPod {
  podSandboxId: string;
  containerId: string;
  /** Address on the stack's bridge. */
  ip: string;
  /** Stops and removes container and sandbox. May be called twice. */
  remove(): Promise<void>;
}
