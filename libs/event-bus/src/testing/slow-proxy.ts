import net from 'node:net';

/** A TCP proxy in front of a server that hands bytes on late, or for a while not at all. */
export class SlowProxy {
  /** Pause before bytes go on, either way, milliseconds. */
  delayMs = 0;
  /** What is to go on to the server instead of what a client sent. */
  change: (bytes: Buffer) => Buffer = (bytes) => bytes;
  #isStalled = false;
  readonly #sockets = new Set<net.Socket>();
  readonly #waiting: (() => void)[] = [];

  private constructor(
    private readonly server: net.Server,
    readonly port: number,
  ) {}

  static async start(upstreamPort: number): Promise<SlowProxy> {
    const server = net.createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const proxy = new SlowProxy(server, (server.address() as net.AddressInfo).port);
    server.on('connection', (client) => {
      const upstream = net.connect(upstreamPort, '127.0.0.1');
      proxy.#pipe(client, upstream, (bytes) => proxy.change(bytes));
      proxy.#pipe(upstream, client, (bytes) => bytes);
    });
    return proxy;
  }

  get url(): string {
    return `nats://127.0.0.1:${String(this.port)}`;
  }

  /** Keeps all bytes back, in order, until {@link resume}; connections stay open. */
  stall(): void {
    this.#isStalled = true;
  }

  resume(): void {
    this.#isStalled = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #pipe(from: net.Socket, to: net.Socket, change: (bytes: Buffer) => Buffer): void {
    this.#sockets.add(from);
    from.on('error', () => to.destroy());
    let last = Promise.resolve();
    from.on('data', (bytes) => {
      const due = performance.now() + this.delayMs;
      last = last.then(() => this.#until(due)).then(() => void to.write(change(bytes)));
    });
    from.on('close', () => {
      this.#sockets.delete(from);
      void last.then(() => to.end());
    });
  }

  async #until(due: number): Promise<void> {
    const pauseMs = due - performance.now();
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    if (this.#isStalled) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
