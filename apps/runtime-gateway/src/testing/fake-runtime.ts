import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import {
  Container,
  ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  ContainerStatus,
  PodSandbox,
  PodSandboxState,
  RuntimeServiceDefinition,
} from '@stowage/cri-proto';

interface Codec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
  fromPartial(partial: object): unknown;
}

interface Life {
  readonly container: Container;
  status: ContainerStatus;
}

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;

/**
 * A runtime with one pod a call and an event stream, in memory, on a real socket. Events go out
 * before the call that caused them is answered, as with containerd.
 */
export class FakeRuntime {
  readonly sandboxes = new Map<string, PodSandbox>();
  readonly lives = new Map<string, Life>();
  /** Containers are gone once their stop is answered, as after a removal that comes at once. */
  removeWhenStopped = false;
  /** Answers to CreateContainer wait for this. */
  creation: Promise<void> = Promise.resolve();
  /** Events that nobody reads wait for the next reader, as in containerd 2. */
  keepsEvents = false;
  /**
   * A status names the image by its digest, and only lists have its ID, as in containerd 2.0 and
   * 2.1.
   */
  statusHasImageId = true;
  /** No event for a sandbox that is removed, nor for its containers, as in CRI-O. */
  removesSilently = false;
  /** The event stream ends at once, as in CRI-O without enable_pod_events. */
  endsStreams = false;
  /** How often the event stream was asked for. */
  streamsAsked = 0;
  readonly #kept: ContainerEventResponse[] = [];
  readonly #grpc = new Server();
  readonly #readers = new Set<ServerWritableStream<unknown, unknown>>();
  #ids = 0;

  private constructor(readonly identity: { runtimeName: string; runtimeVersion: string }) {
    const unary = (name: string, answer: (request: never) => object | Promise<object>) => {
      const { requestType, responseType } = this.#types(name);
      this.#grpc.register(
        `/runtime.v1.RuntimeService/${name}`,
        (call: ServerUnaryCall<never, unknown>, reply: sendUnaryData<unknown>) => {
          void Promise.resolve(answer(call.request)).then((partial) => {
            reply(null, responseType.fromPartial(partial));
          });
        },
        (message) => Buffer.from(responseType.encode(message).finish()),
        (bytes) => requestType.decode(bytes) as never,
        'unary',
      );
    };
    unary('Version', () => ({ version: '0.1.0', runtimeApiVersion: 'v1', ...this.identity }));
    unary('ListPodSandbox', () => ({ items: [...this.sandboxes.values()] }));
    unary('ListContainers', () => ({
      containers: [...this.lives.values()].map(({ container, status }) => ({
        ...container,
        state: status.state,
      })),
    }));
    unary('ContainerStatus', ({ containerId }: { containerId: string }) => {
      const life = this.lives.get(containerId);
      return { status: life === undefined ? undefined : this.#statusOf(life) };
    });
    unary('RunPodSandbox', ({ config }: { config: { metadata: object } }) => {
      const id = this.#newId('5');
      const sandbox = PodSandbox.fromPartial({ id, ...config, createdAt: now() });
      this.sandboxes.set(id, sandbox);
      this.#emit(id, id, ContainerEventType.CONTAINER_STARTED_EVENT);
      return { podSandboxId: id };
    });
    unary(
      'CreateContainer',
      async ({ podSandboxId, config }: { podSandboxId: string; config: object }) => {
        await this.creation;
        const id = this.#newId('c');
        const both = { id, ...config, createdAt: now(), imageRef: `sha256:${'2b'.repeat(32)}` };
        this.lives.set(id, {
          container: Container.fromPartial({ ...both, podSandboxId }),
          status: ContainerStatus.fromPartial(both),
        });
        this.#emit(id, podSandboxId, ContainerEventType.CONTAINER_CREATED_EVENT);
        return { containerId: id };
      },
    );
    unary('StartContainer', ({ containerId }: { containerId: string }) => {
      this.#change(containerId, {
        state: ContainerState.CONTAINER_RUNNING,
        startedAt: now(),
      });
      this.#emit(containerId, undefined, ContainerEventType.CONTAINER_STARTED_EVENT);
      return {};
    });
    unary('StopContainer', ({ containerId }: { containerId: string }) => {
      this.exit(containerId, 143);
      if (this.removeWhenStopped) this.lives.delete(containerId);
      return {};
    });
    unary('RemoveContainer', ({ containerId }: { containerId: string }) => {
      const sandboxId = this.lives.get(containerId)?.container.podSandboxId;
      this.lives.delete(containerId);
      this.#emit(containerId, sandboxId, ContainerEventType.CONTAINER_DELETED_EVENT);
      return {};
    });
    unary('StopPodSandbox', ({ podSandboxId }: { podSandboxId: string }) => {
      const sandbox = this.sandboxes.get(podSandboxId);
      if (sandbox?.state !== PodSandboxState.SANDBOX_READY) return {};
      for (const { container } of this.#livesOf(podSandboxId)) this.exit(container.id, 137);
      this.sandboxes.set(podSandboxId, { ...sandbox, state: PodSandboxState.SANDBOX_NOTREADY });
      this.#emit(podSandboxId, podSandboxId, ContainerEventType.CONTAINER_STOPPED_EVENT);
      return {};
    });
    unary('RemovePodSandbox', ({ podSandboxId }: { podSandboxId: string }) => {
      for (const { container } of this.#livesOf(podSandboxId)) {
        this.lives.delete(container.id);
        if (this.removesSilently) continue;
        this.#emit(container.id, podSandboxId, ContainerEventType.CONTAINER_DELETED_EVENT);
      }
      this.sandboxes.delete(podSandboxId);
      if (this.removesSilently) return {};
      this.#emit(podSandboxId, podSandboxId, ContainerEventType.CONTAINER_DELETED_EVENT);
      return {};
    });
    const { requestType, responseType } = this.#types('GetContainerEvents');
    this.#grpc.register(
      '/runtime.v1.RuntimeService/GetContainerEvents',
      (call: ServerWritableStream<unknown, unknown>) => {
        this.streamsAsked += 1;
        if (this.endsStreams) {
          call.end();
          return;
        }
        for (const event of this.#kept.splice(0)) call.write(event);
        this.#readers.add(call);
        call.on('cancelled', () => this.#readers.delete(call));
      },
      (message) => Buffer.from(responseType.encode(message).finish()),
      (bytes) => requestType.decode(bytes),
      'serverStream',
    );
  }

  static async start(
    socketPath: string,
    identity: { runtimeName: string; runtimeVersion: string },
  ): Promise<FakeRuntime> {
    const fake = new FakeRuntime(identity);
    await new Promise<void>((resolve, reject) => {
      fake.#grpc.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
        if (error == null) resolve();
        else reject(error);
      });
    });
    return fake;
  }

  /** Readers of the event stream. */
  get readers(): number {
    return this.#readers.size;
  }

  stop(): void {
    this.#grpc.forceShutdown();
  }

  /** A container ends. */
  exit(containerId: string, exitCode: number): void {
    if (this.lives.get(containerId)?.status.state === ContainerState.CONTAINER_EXITED) return;
    this.#change(containerId, {
      state: ContainerState.CONTAINER_EXITED,
      finishedAt: now(),
      exitCode,
      reason: exitCode === 0 ? 'Completed' : 'Error',
    });
    this.#emit(containerId, undefined, ContainerEventType.CONTAINER_STOPPED_EVENT);
  }

  /** Ends the event stream of every reader. */
  endStreams(): void {
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  #change(containerId: string, change: Partial<ContainerStatus>): void {
    const life = this.lives.get(containerId);
    if (life !== undefined) life.status = { ...life.status, ...change };
  }

  #emit(containerId: string, sandboxId: string | undefined, type: ContainerEventType): void {
    const id = sandboxId ?? this.lives.get(containerId)?.container.podSandboxId ?? '';
    const sandbox = this.sandboxes.get(id);
    const event = ContainerEventResponse.fromPartial({
      containerId,
      containerEventType: type,
      createdAt: now(),
      podSandboxStatus:
        sandbox === undefined
          ? undefined
          : {
              id,
              metadata: sandbox.metadata,
              state: sandbox.state,
              createdAt: sandbox.createdAt,
            },
      containersStatuses: this.#livesOf(id).map((life) => this.#statusOf(life)),
    });
    if (this.keepsEvents && this.#readers.size === 0) this.#kept.push(event);
    for (const reader of this.#readers) reader.write(event);
  }

  #livesOf(sandboxId: string): Life[] {
    return [...this.lives.values()].filter(({ container }) => container.podSandboxId === sandboxId);
  }

  #statusOf({ status }: Life): ContainerStatus {
    if (this.statusHasImageId) return status;
    return { ...status, imageRef: `team/app@${status.imageRef}` };
  }

  #newId(first: string): string {
    this.#ids += 1;
    return `${first}${String(this.#ids).padStart(7, '0')}${'0'.repeat(56)}`;
  }

  #types(name: string): { requestType: Codec; responseType: Codec } {
    const method = Object.values(RuntimeServiceDefinition.methods).find(
      (candidate) => candidate.name === name,
    );
    if (method === undefined) throw new Error(`no method ${name}`);
    return method;
  }
}
