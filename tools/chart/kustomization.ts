import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { kustomizeFolder, objectName, type KubernetesObject } from './chart';
import { patchBetween, type PatchStep } from './json-patch';
import type { Chart, Values } from './render';

/** What the base is, and with it every overlay. */
export const baseValues: Values = { createNamespace: true };

/** An overlay: the base with some values of the chart changed. */
export interface Overlay {
  readonly name: string;
  readonly summary: string;
  readonly values: Values;
}

export const overlays: readonly Overlay[] = [
  {
    name: 'observe',
    summary: 'Nothing is pulled or removed.',
    values: { mode: 'observe' },
  },
  {
    name: 'shadow',
    summary: 'Collections do all but the removal.',
    values: { mode: 'shadow' },
  },
  {
    name: 'monitoring',
    summary: 'For the Prometheus Operator and the sidecar of Grafana.',
    values: {
      monitoring: {
        podMonitor: { enabled: true },
        prometheusRule: { enabled: true },
        dashboards: { enabled: true },
      },
    },
  },
  { name: 'k3s', summary: 'Paths of k3s.', values: { runtime: 'k3s' } },
  { name: 'rke2', summary: 'Paths of RKE2.', values: { runtime: 'rke2' } },
  { name: 'crio', summary: 'Paths of CRI-O.', values: { runtime: 'crio' } },
  {
    name: 'selinux',
    summary: 'For nodes that enforce SELinux.',
    values: { selinux: { enabled: true } },
  },
];

/** Overlays that are used together, of which the check makes sure that they fit. */
export const combinations: readonly (readonly string[])[] = [
  ['observe', 'k3s', 'monitoring'],
  ['shadow', 'crio', 'selinux'],
  ['rke2', 'selinux', 'monitoring'],
];

/** Labels that say that Helm put an object there, which it did not. */
const labelsOfHelm = new Set(['helm.sh/chart', 'app.kubernetes.io/managed-by']);

/** An object of the chart as it is without Helm. */
export function withoutHelm(object: KubernetesObject): KubernetesObject {
  const labels = Object.entries(object.metadata.labels ?? {}).filter(
    ([name]) => !labelsOfHelm.has(name),
  );
  return { ...object, metadata: { ...object.metadata, labels: Object.fromEntries(labels) } };
}

/** What the chart makes of an overlay's values, or of several together, for kustomize. */
export async function expected(
  chart: Pick<Chart, 'render'>,
  ...values: readonly Values[]
): Promise<KubernetesObject[]> {
  const all = Object.assign({}, baseValues, ...values) as Values;
  return (await chart.render(all)).map(withoutHelm);
}

/** Files by their path below deploy/kubernetes. */
export type Files = ReadonlyMap<string, string>;

const header = '# Written by `npm run chart` from the chart in deploy/helm/stowage; do not edit.\n';
/** kustomize reads YAML 1.1, in which more words are booleans. */
const plainYaml = (value: unknown): string => stringify(value, { lineWidth: 0, version: '1.1' });
const yaml = (value: unknown): string => header + plainYaml(value);
/** No block of text stands at the end: kustomize cuts off the last line break of a patch. */
const patchText = (steps: readonly PatchStep[]): string =>
  stringify(steps, { lineWidth: 0, version: '1.1', blockQuote: false });
const fileOf = (object: KubernetesObject): string => `${objectName(object)}.yaml`;

/** All files of deploy/kubernetes but its README. */
export async function kustomizeFiles(chart: Pick<Chart, 'render'>): Promise<Files> {
  const base = await expected(chart);
  const files = new Map<string, string>(
    base.map((object) => [`base/${fileOf(object)}`, yaml(object)]),
  );
  files.set(
    'base/kustomization.yaml',
    yaml({
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: base.map(fileOf),
    }),
  );
  for (const overlay of overlays) {
    for (const [file, text] of overlayFiles(overlay, base, await expected(chart, overlay.values))) {
      files.set(file, text);
    }
  }
  return files;
}

/**
 * An overlay is the base and one component, so that several components can be put together. The
 * component has what is different: objects that come, go and change.
 */
function overlayFiles(
  { name }: Overlay,
  base: readonly KubernetesObject[],
  wanted: readonly KubernetesObject[],
): [string, string][] {
  const find = (objects: readonly KubernetesObject[], object: KubernetesObject) =>
    objects.find((other) => objectName(other) === objectName(object));
  const added = wanted.filter((object) => find(base, object) === undefined);
  const files = added.map((object): [string, string] => [
    `components/${name}/${fileOf(object)}`,
    yaml(object),
  ]);
  const patches = base.flatMap((object) => {
    const { apiVersion, kind, metadata } = object;
    const changed = find(wanted, object);
    const target = { kind, name: metadata.name };
    if (changed === undefined) {
      const gone = { apiVersion, kind, metadata: { name: metadata.name }, $patch: 'delete' };
      return [{ target, patch: plainYaml(gone) }];
    }
    const steps = patchBetween(object, changed);
    return steps.length === 0 ? [] : [{ target, patch: patchText(steps) }];
  });
  const component = {
    apiVersion: 'kustomize.config.k8s.io/v1alpha1',
    kind: 'Component',
    ...(added.length > 0 && { resources: added.map(fileOf) }),
    ...(patches.length > 0 && { patches }),
  };
  const overlay = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: ['../../base'],
    components: [`../../components/${name}`],
  };
  return [
    ...files,
    [`components/${name}/kustomization.yaml`, yaml(component)],
    [`overlays/${name}/kustomization.yaml`, yaml(overlay)],
  ];
}

const ownedFolders = ['base', 'components', 'overlays'];

/** Writes the files in place of those that are there. */
export function writeKustomization(root: string, files: Files): void {
  const folder = path.join(root, kustomizeFolder);
  for (const owned of ownedFolders)
    rmSync(path.join(folder, owned), { recursive: true, force: true });
  for (const [file, text] of files) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), text);
  }
}

/** Files in the repository that are not as they would be written, relative to the root. */
export function staleKustomization(root: string, files: Files): string[] {
  const folder = path.join(root, kustomizeFolder);
  const committed = ownedFolders
    .filter((owned) => existsSync(path.join(folder, owned)))
    .flatMap((owned) =>
      readdirSync(path.join(folder, owned), { withFileTypes: true, recursive: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name))),
    );
  return [...new Set([...committed, ...files.keys()])]
    .filter((file) => {
      const full = path.join(folder, file);
      return !existsSync(full) || readFileSync(full, 'utf8') !== files.get(file);
    })
    .map((file) => path.join(kustomizeFolder, file))
    .sort();
}
