import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ApiServer, type KubeObject } from './api-server';
import { describePod, messagesOf } from './describe-pod';
import { Kubelet, type KubeletVariant, type Pod } from './kubelet';
import type { Lab } from './lab';

/** User name and password for a registry. */
export interface Login {
  readonly host: string;
  readonly username: string;
  readonly password: string;
}

/** A pod to run; what the specification leaves out has the defaults of the scenarios. */
export interface NewPod {
  readonly namespace: string;
  readonly name: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

interface PodEvent {
  readonly reason: string;
  readonly message: string;
}

/** A cluster of one node: an API server, and the kubelet of a lab that is registered with it. */
export class Cluster {
  private constructor(
    readonly lab: Lab,
    readonly api: ApiServer,
  ) {}

  /**
   * Lets the lab's kubelet register with an API server, plays, takes away the pods that are left,
   * and lets kubelet be alone again. `variant` is what kubelet has besides.
   */
  static async with<T>(
    lab: Lab,
    play: (cluster: Cluster) => Promise<T>,
    variant: KubeletVariant = {},
  ): Promise<T> {
    const api = new ApiServer({ ...lab.controlPlane, dir: path.join(lab.stack.dir, 'api-server') });
    const cluster = new Cluster(lab, api);
    try {
      await api.start();
      await cluster.restartKubelet(variant);
      const result = await play(cluster);
      await cluster.#removePods();
      return result;
    } finally {
      lab.keepLogs(api.logs());
      await lab.restartKubelet();
      await api.stop();
    }
  }

  /** Starts kubelet anew with other settings, and waits until its node is ready. */
  async restartKubelet({ config = {}, flags = [] }: KubeletVariant = {}): Promise<void> {
    const own = this.api.kubelet;
    await this.lab.restartKubelet({
      config: { ...own.config, ...config },
      flags: [...(own.flags ?? []), ...flags],
    });
    await this.lab.until('the node to be ready', async () => {
      const conditions = (await this.node())?.status?.conditions ?? [];
      return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
    });
  }

  node(): Promise<Node | undefined> {
    return this.api.find<Node>(`/api/v1/nodes/${Kubelet.node}`);
  }

  /** Makes a namespace with its default account, whose token no pod gets. */
  async namespace(name: string): Promise<void> {
    await this.api.create('/api/v1/namespaces', { metadata: { name } });
    await this.account(name, 'default');
  }

  async account(
    namespace: string,
    name: string,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await this.api.create(`/api/v1/namespaces/${namespace}/serviceaccounts`, {
      metadata: { name, annotations },
      automountServiceAccountToken: false,
    });
  }

  /** Makes a pull secret for a registry, or gives it another login. */
  async pullSecret(namespace: string, name: string, login: Login): Promise<void> {
    const { host, username, password } = login;
    const auths = { [host]: { username, password } };
    const secrets = `/api/v1/namespaces/${namespace}/secrets`;
    const body = {
      metadata: { name },
      type: 'kubernetes.io/dockerconfigjson',
      stringData: { '.dockerconfigjson': JSON.stringify({ auths }) },
    };
    const there = await this.api.find(`${secrets}/${name}`);
    if (there === undefined) await this.api.create(secrets, body);
    else await this.api.ask(`${secrets}/${name}`, { method: 'PATCH', body });
  }

  async addPod({ namespace, name, spec }: NewPod): Promise<void> {
    await this.api.create(podsOf(namespace), {
      metadata: { name },
      spec: { nodeName: Kubelet.node, terminationGracePeriodSeconds: 2, ...spec },
    });
  }

  pod(namespace: string, name: string): Promise<ApiPod | undefined> {
    return this.api.find<ApiPod>(`${podsOf(namespace)}/${name}`);
  }

  /**
   * Waits until a pod has come to a state, as `describePod` says it. Returns the last one that was
   * seen, that or another.
   */
  async stateOf(
    namespace: string,
    name: string,
    state: string,
    timeoutMs = 60_000,
  ): Promise<string> {
    let last = 'unknown';
    const look = async (): Promise<boolean> => {
      const pod = await this.pod(namespace, name);
      if (pod !== undefined) last = describePod(pod);
      return last === state;
    };
    const what = `${namespace}/${name} to be ${state}`;
    await this.lab.until(what, look, timeoutMs).catch(() => undefined);
    this.lab.signal.throwIfAborted();
    return last;
  }

  /**
   * Runs a pod, waits for a state, and returns that, the messages and kubelet's events about its
   * image.
   */
  async seenOf(pod: NewPod, state: string): Promise<Record<string, string>> {
    const { namespace, name } = pod;
    await this.addPod(pod);
    const seen: Record<string, string> = { state: await this.stateOf(namespace, name, state) };
    const now = await this.pod(namespace, name);
    for (const [what, text] of Object.entries(now === undefined ? {} : messagesOf(now))) {
      seen[what] = this.lab.normalise(text);
    }
    seen['image events'] = await this.imageEvents(namespace, name);
    return seen;
  }

  /**
   * What kubelet has published about a pod's images, each once, in its order, without durations.
   */
  async imageEvents(namespace: string, name: string): Promise<string> {
    const selector = encodeURIComponent(`involvedObject.name=${name}`);
    const { items } = await this.api.ask<{ items: PodEvent[] }>(
      `/api/v1/namespaces/${namespace}/events?fieldSelector=${selector}`,
    );
    const lines = items
      .filter(({ message }) => /image/i.test(message))
      .map(({ reason, message }) => `${reason}: ${withoutDurations(this.lab.normalise(message))}`);
    return [...new Set(lines)].sort().join('\n');
  }

  /** Asks for a pod's deletion. */
  async deletePod(namespace: string, name: string, graceSeconds?: number): Promise<void> {
    const body = graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds };
    await this.api.ask(`${podsOf(namespace)}/${name}`, { method: 'DELETE', body });
  }

  async untilGone(namespace: string, name: string, timeoutMs = 60_000): Promise<void> {
    const look = async (): Promise<boolean> => (await this.pod(namespace, name)) === undefined;
    await this.lab.until(`${namespace}/${name} to be gone`, look, timeoutMs);
  }

  async #removePods(): Promise<void> {
    const all = async (): Promise<ApiPod[]> =>
      (await this.api.ask<{ items: ApiPod[] }>('/api/v1/pods')).items;
    for (const { metadata } of await all()) {
      if (mirrorOf(metadata)) continue; // it goes with its manifest
      await this.deletePod(metadata.namespace, metadata.name);
    }
    await this.lab.removePods();
    await this.lab.until('all pods to be gone', async () => (await all()).length === 0, 90_000);
  }
}

const mirrorOf = ({ annotations }: KubeObject['metadata']): boolean =>
  annotations?.['kubernetes.io/config.mirror'] !== undefined;

export const podsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`;

const withoutDurations = (text: string): string =>
  text.replace(/\b(?:[\d.]+(?:µs|ms|s|m))+(?![\w.])/g, 'TIME');

/** A pod as the API server has it. */
export type ApiPod = Pod & { readonly metadata: KubeObject['metadata'] & { namespace: string } };

export interface Node extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly images?: readonly {
      readonly names?: readonly string[];
      readonly sizeBytes?: number;
    }[];
    readonly nodeInfo?: Readonly<Record<string, string>>;
    readonly runtimeHandlers?: readonly unknown[];
    readonly features?: unknown;
    readonly [key: string]: unknown;
  };
}

/** `shell` in an image: what most pods of the scenarios with an API server consist of. */
export const onePod = (
  image: string,
  more: { readonly script?: string; readonly container?: object; readonly pod?: object } = {},
): Record<string, unknown> => ({
  containers: [
    {
      name: 'main',
      image,
      imagePullPolicy: 'IfNotPresent',
      command: ['sh', '-c', more.script ?? waitForEnd],
      ...more.container,
    },
  ],
  ...more.pod,
});

/** A shell that waits and ends at once when it is asked to. */
export const waitForEnd = "trap 'exit 0' TERM; while :; do sleep 1; done";

/** Observations of one part of a scenario, under its name. */
export const named = (
  part: string,
  seen: Readonly<Record<string, string>>,
): Record<string, string> =>
  Object.fromEntries(Object.entries(seen).map(([what, text]) => [`${part}: ${what}`, text]));

/** Pushes an image, of which each is another one, to the registry with a password. */
export async function pushPrivate(lab: Lab, name: string): Promise<string> {
  return (await lab.stack.pushImage({ name, tag: '1', to: 'auth', labels: { name } })).reference;
}

interface PulledRecord {
  readonly credentialMapping?: Readonly<
    Record<
      string,
      {
        readonly nodePodsAccessible?: boolean;
        readonly kubernetesSecrets?: readonly { namespace: string; name: string }[];
        readonly kubernetesServiceAccounts?: readonly { namespace: string; name: string }[];
      }
    >
  >;
}

/** For whom an image is there, by kubelet's own records. */
export function recordedFor(lab: Lab, image: string): string {
  const repository = image.replace(/:[^:/]*$/, '');
  const folder = path.join(lab.kubelet.rootDir, 'image_manager/pulled');
  const found = readdirSync(folder).flatMap((file) => {
    const record = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as PulledRecord;
    const mapping = record.credentialMapping?.[repository];
    return mapping === undefined ? [] : [mapping];
  });
  const texts = found.flatMap((mapping) => [
    ...(mapping.nodePodsAccessible === true ? ['all pods of the node'] : []),
    ...(mapping.kubernetesSecrets ?? []).map((one) => `secret ${one.namespace}/${one.name}`),
    ...(mapping.kubernetesServiceAccounts ?? []).map(
      (one) => `service account ${one.namespace}/${one.name}`,
    ),
  ]);
  return texts.sort().join(', ') || 'nothing';
}
