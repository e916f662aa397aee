import path from 'node:path';

/** Absolute path of the workspace. */
export const root = path.resolve(__dirname, '../..');

/** Folder of the chart, relative to the root. */
export const chartFolder = 'deploy/helm/stowage';

/** Folder of what kustomize reads, relative to the root. */
export const kustomizeFolder = 'deploy/kubernetes';

/** Services of the chart. Not docker-shim: kubelet could not start what it runs its pods with. */
export const chartApps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;

/** An object of Kubernetes, as it was rendered. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** How an object is named in messages and files: `daemonset-stowage-gc-worker`. */
export const objectName = ({ kind, metadata }: KubernetesObject): string =>
  `${kind.toLowerCase()}-${metadata.name}`;
