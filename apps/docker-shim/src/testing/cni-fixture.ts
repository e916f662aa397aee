import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CniNetwork, type CniNetworkOptions } from '../network/cni-network';
import type { EndedPluginCall } from '../network/cni-plugins';
import type { NetworkPod, RemovedPod } from '../network/pod-network';
import { FakePlugins } from './fake-plugin';

export const sandboxId = 'a'.repeat(64);
export const otherId = 'b'.repeat(64);
/** CNI_ARGS of {@link pod}. */
export const podArgs = `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=${sandboxId};K8S_POD_UID=u-1`;
export const pod: NetworkPod = {
  sandboxId,
  name: 'web-0',
  namespace: 'shop',
  uid: 'u-1',
  pid: 77,
  portMappings: [],
  annotations: {},
};
export const otherPod: NetworkPod = { ...pod, sandboxId: otherId };
/** {@link pod} when its process is no more. */
export const gonePod: RemovedPod = { ...pod, pid: undefined };

/** A list of the plugins `one` and `two`; fields replace its own. */
export const chain = (fields: object = {}) => ({
  cniVersion: '1.0.0',
  name: 'net',
  plugins: [
    { type: 'one', own: true },
    { type: 'two', capabilities: { portMappings: true } },
  ],
  ...fields,
});

/** Pod networks of the fake plugins `one` and `two`, in a folder of their own. */
export class CniFixture {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'cni-network-'));
  readonly plugins = new FakePlugins(this.folder);
  readonly confDir = path.join(this.folder, 'net.d');
  readonly results = path.join(this.folder, 'cache', 'results');
  readonly logged: { level: string; fields: Record<string, unknown> }[] = [];
  readonly ended: EndedPluginCall[] = [];
  now = 1000;
  network: CniNetwork;

  constructor() {
    this.plugins.add('one');
    this.plugins.add('two');
    this.network = this.start();
  }

  /** As after a restart; replaces `network` where it is assigned. */
  start(options: Partial<CniNetworkOptions> = {}): CniNetwork {
    const log = (level: string) => (fields: object | string) =>
      this.logged.push({ level, fields: fields as Record<string, unknown> });
    return new CniNetwork({
      confDir: this.confDir,
      binDirs: [path.join(this.folder, 'no-such'), this.plugins.binDir],
      cacheDir: path.join(this.folder, 'cache'),
      podCidrs: [],
      stateDir: path.join(this.folder, 'state'),
      log: { debug: log('debug'), info: log('info'), warn: log('warn') },
      now: () => this.now,
      namespaceOf: (pid) => Promise.resolve(pid ? `/proc/${pid}/ns/net` : undefined),
      onEnded: (call) => this.ended.push(call),
      ...options,
    });
  }

  configure(config: object): void {
    mkdirSync(this.confDir, { recursive: true });
    writeFileSync(path.join(this.confDir, '10-net.conflist'), JSON.stringify(config));
  }

  add(added = pod): Promise<readonly string[]> {
    return this.network.add(added, { signal: new AbortController().signal });
  }

  remove(removed: RemovedPod = pod): Promise<void> {
    return this.network.remove(removed, { signal: new AbortController().signal });
  }

  /** Files in the cache. */
  kept(): string[] {
    return existsSync(this.results) ? readdirSync(this.results) : [];
  }

  entry(name: string): Record<string, unknown> {
    const text = readFileSync(path.join(this.results, name), 'utf8');
    return JSON.parse(text) as Record<string, unknown>;
  }

  close(): void {
    this.network.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
