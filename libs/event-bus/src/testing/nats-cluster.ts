import { freePort, TestNatsServer } from '@stowage/testing';

/** Three nats-servers with JetStream that form a cluster, for streams with copies. */
export class TestNatsCluster {
  readonly #configs: readonly string[];

  private constructor(
    readonly servers: readonly TestNatsServer[],
    routePorts: readonly number[],
  ) {
    const routes = routePorts.map((port) => `"nats://127.0.0.1:${String(port)}"`).join(', ');
    this.#configs = routePorts.map(
      (port, index) => `server_name: ${name(index)}
cluster { name: test, listen: "127.0.0.1:${String(port)}", no_advertise: true, routes: [${routes}] }`,
    );
  }

  /** A running cluster; it may still be electing its leader. */
  static async start(): Promise<TestNatsCluster> {
    const indexes = [0, 1, 2];
    const servers = await Promise.all(indexes.map(() => TestNatsServer.absent()));
    const routePorts = await Promise.all(indexes.map(freePort));
    const cluster = new TestNatsCluster(servers, routePorts);
    await Promise.all(indexes.map((index) => cluster.startServer(name(index))));
    return cluster;
  }

  get urls(): string[] {
    return this.servers.map(({ url }) => url);
  }

  /** Starts the server of this name, as JetStream gives it for a leader. */
  async startServer(serverName: string): Promise<void> {
    const config = this.#configs[this.#index(serverName)] ?? '';
    await this.server(serverName).start({ config });
  }

  server(serverName: string): TestNatsServer {
    return this.servers[this.#index(serverName)]!;
  }

  async remove(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.remove()));
  }

  #index(serverName: string): number {
    return this.servers.findIndex((_, index) => name(index) === serverName);
  }
}

const name = (index: number) => `n${String(index)}`;
