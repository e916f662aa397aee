import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import path from 'node:path';
import { freePort, ServerProcess } from '@stowage/testing';
import { askHttps } from './ask-https';
import { Kubelet, type KubeletVariant } from './kubelet';

export interface ApiServerSettings {
  /** The program kube-apiserver. */
  readonly program: string;
  readonly etcd: string;
  /** Folder for all that both write. */
  readonly dir: string;
}

/** Any object of Kubernetes, as far as it is used here. */
export interface KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** An answer other than 2xx. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

interface Asked {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

/**
 * An API server with its etcd, and nothing else of a control plane: who wants a pod to run names
 * its node, and who wants a namespace or a service account makes it. Users have tokens of its own;
 * its certificate is its own too.
 */
export class ApiServer {
  readonly dir: string;
  readonly #settings: ApiServerSettings;
  readonly #tokens = {
    admin: randomBytes(24).toString('hex'),
    node: randomBytes(24).toString('hex'),
  };
  #servers: ServerProcess[] = [];
  #port = 0;

  constructor(settings: ApiServerSettings) {
    this.#settings = settings;
    this.dir = settings.dir;
  }

  /** Starts both, and waits until the node may register. */
  async start(): Promise<void> {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const within = (name: string): string => path.join(this.dir, name);
    const write = (name: string, text: string): string => {
      writeFileSync(within(name), text, { mode: 0o600 });
      return within(name);
    };
    const [clients, peers] = [await freePort(), await freePort()];
    const etcdUrl = `http://127.0.0.1:${clients}`;
    const etcdPeerUrl = `http://127.0.0.1:${peers}`;
    await this.#run({
      name: 'etcd',
      command: this.#settings.etcd,
      args: [
        ...['--name=one', `--data-dir=${within('etcd')}`, '--unsafe-no-fsync'],
        ...[`--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
        ...[`--listen-peer-urls=${etcdPeerUrl}`, `--initial-advertise-peer-urls=${etcdPeerUrl}`],
        `--initial-cluster=one=${etcdPeerUrl}`,
      ],
      isReady: async () => (await fetch(`${etcdUrl}/health`)).ok,
    });
    this.#port = await freePort();
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const users = [
      `${this.#tokens.admin},admin,admin,"system:masters"`,
      `${this.#tokens.node},system:node:${Kubelet.node},${Kubelet.node},"system:nodes"`,
    ];
    const own = `https://127.0.0.1:${this.#port}`;
    await this.#run({
      name: 'kube-apiserver',
      command: this.#settings.program,
      args: [
        ...['--bind-address=127.0.0.1', `--secure-port=${this.#port}`],
        ...[`--advertise-address=${nodeAddress()}`, '--endpoint-reconciler-type=none'],
        ...[`--cert-dir=${within('certificates')}`, `--etcd-servers=${etcdUrl}`],
        ...['--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction'],
        `--token-auth-file=${write('users.csv', `${users.join('\n')}\n`)}`,
        `--service-account-issuer=${own}`,
        `--service-account-key-file=${write('accounts.pub', String(publicKey.export({ type: 'spki', format: 'pem' })))}`,
        `--service-account-signing-key-file=${write('accounts.key', String(privateKey.export({ type: 'sec1', format: 'pem' })))}`,
        '--kubelet-preferred-address-types=InternalIP', // nobody resolves the node's name
        ...['--service-cluster-ip-range=10.96.0.0/16', '--allow-privileged', '--v=2'],
      ],
      isReady: async () => (await this.#send('/readyz', {})).status === 200,
    });
    write('kubeconfig', JSON.stringify(this.#kubeconfig(own)));
  }

  async #run(
    server: Omit<ConstructorParameters<typeof ServerProcess>[0], 'env' | 'logFile'>,
  ): Promise<void> {
    const running = new ServerProcess({
      ...server,
      env: {},
      logFile: path.join(this.dir, `${server.name}.log`),
    });
    this.#servers.unshift(running);
    await running.start();
  }

  #kubeconfig(server: string): unknown {
    const certificate = readFileSync(path.join(this.dir, 'certificates/apiserver.crt'));
    return {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'own' },
      clusters: [
        {
          name: 'own',
          cluster: { server, 'certificate-authority-data': certificate.toString('base64') },
        },
      ],
      users: [{ name: 'node', user: { token: this.#tokens.node } }],
      contexts: [{ name: 'own', context: { cluster: 'own', user: 'node' } }],
    };
  }

  /** With which a kubelet registers here. */
  get kubelet(): KubeletVariant {
    return {
      config: {
        registerNode: true,
        address: '0.0.0.0', // the API server asks it at its node's address
        nodeStatusUpdateFrequency: '2s',
        nodeStatusReportFrequency: '10s',
      },
      flags: ['--kubeconfig', path.join(this.dir, 'kubeconfig'), '--node-ip', nodeAddress()],
    };
  }

  /** Where it answers, and the token of its administrator. */
  get address(): { readonly port: number; readonly token: string } {
    return { port: this.#port, token: this.#tokens.admin };
  }

  /**
   * One call as administrator; the path begins with `/api`. @throws {ApiError} when the answer is
   * not 2xx.
   */
  async ask<T = KubeObject>(target: string, asked: Asked = {}): Promise<T> {
    const { status, body } = await this.#send(target, asked);
    if (status >= 200 && status < 300) return (body === '' ? undefined : JSON.parse(body)) as T;
    throw new ApiError(status, `${asked.method ?? 'GET'} ${target}: ${status} ${body}`);
  }

  /** As `ask`, for answers that are text; whatever its status is. */
  text(target: string): Promise<{ status: number; body: string }> {
    return this.#send(target, {});
  }

  /** As `ask`; undefined when there is no such object. */
  async find<T = KubeObject>(target: string): Promise<T | undefined> {
    try {
      return await this.ask<T>(target);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Makes an object; one of this name that is there already stays as it is. */
  async create(target: string, body: unknown): Promise<void> {
    try {
      await this.ask(target, { method: 'POST', body });
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 409)) throw error;
    }
  }

  #send(
    target: string,
    { method = 'GET', body, timeoutMs = 30_000 }: Asked,
  ): Promise<{ status: number; body: string }> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${this.#tokens.admin}`,
      'content-length': Buffer.byteLength(text), // by itself Node.js leaves it out of a DELETE
      'content-type':
        method === 'PATCH' ? 'application/strategic-merge-patch+json' : 'application/json',
    };
    return askHttps({ port: this.#port, path: target, method, headers, timeoutMs }, text);
  }

  /**
   * Follows one object until it is deleted or `signal` aborts, and calls `seen` with each state.
   * The first is the one that it has now; the last before a deletion is what was known then.
   */
  watch(
    collection: string,
    name: string,
    seen: (type: 'ADDED' | 'MODIFIED' | 'DELETED', object: unknown) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const target = `${collection}?watch=true&fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          ...{ host: '127.0.0.1', port: this.#port, path: target, agent: false, signal },
          rejectUnauthorized: false,
          headers: { authorization: `Bearer ${this.#tokens.admin}` },
        },
        (response) => {
          let rest = '';
          response.setEncoding('utf8');
          response.on('data', (part: string) => {
            const lines = `${rest}${part}`.split('\n');
            rest = lines.pop() ?? '';
            for (const line of lines) {
              const { type, object } = JSON.parse(line) as {
                type: 'ADDED' | 'MODIFIED' | 'DELETED';
                object: unknown;
              };
              seen(type, object);
              if (type === 'DELETED') sent.destroy();
            }
          });
          response.on('error', () => resolve());
          response.on('close', () => resolve());
        },
      );
      sent.on('error', (error) => (signal.aborted || sent.destroyed ? resolve() : reject(error)));
      sent.end();
    });
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) await server.kill();
    this.#servers = [];
  }

  /** What both have logged, by name. */
  logs(): Record<string, string> {
    return Object.fromEntries(
      this.#servers.map((server, index) => [
        index === this.#servers.length - 1 ? 'etcd' : 'kube-apiserver',
        server.log(),
      ]),
    );
  }
}

/**
 * An address of this network namespace that a node may have: loopback is refused. The test stack's
 * bridge has one, also while no pod is on it and Node.js would leave it out as not running.
 */
function nodeAddress(): string {
  const links = JSON.parse(
    execFileSync('ip', ['-json', '-4', 'address', 'show'], { encoding: 'utf8' }),
  ) as { ifname?: string; addr_info?: { local?: string }[] }[];
  const address = links
    .filter(({ ifname }) => ifname !== 'lo')
    .flatMap(({ addr_info = [] }) => addr_info)[0]?.local;
  if (address === undefined) throw new Error('there is no network interface beside loopback');
  return address;
}
