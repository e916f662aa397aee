import { Client, credentials, type ServiceError } from '@grpc/grpc-js';

const versionPath = '/runtime.v1.RuntimeService/Version';
const imagesPath = '/runtime.v1.ImageService/ListImages';

/** Calls one after the other, without a pause, over one channel. */
export class Caller {
  readonly failures: string[] = [];
  calls = 0;
  readonly #client: Client;
  #isOver = false;
  readonly #ended: Promise<void>;

  constructor(
    private readonly socket: string,
    private readonly method: string,
  ) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#ended = this.#go();
  }

  static runtime(socket: string): Caller {
    return new Caller(socket, versionPath);
  }

  static images(socket: string): Caller {
    return new Caller(socket, imagesPath);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#ended;
    this.#client.close();
  }

  async #go(): Promise<void> {
    while (!this.#isOver) {
      const failure = await this.#call();
      this.calls++;
      if (failure !== undefined) this.failures.push(`${this.socket}: ${failure}`);
    }
  }

  #call(): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        this.method,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.alloc(0),
        { deadline: Date.now() + 30_000 },
        (error: ServiceError | null) => resolve(error?.message),
      );
    });
  }
}

/** One call. Returns what went wrong. */
export async function callOnce(socket: string): Promise<string | undefined> {
  const caller = Caller.runtime(socket);
  await caller.stop();
  return caller.failures[0];
}
