import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { parse } from 'yaml';
import type { KubernetesObject } from './chart';

/** What a rendering of the chart has, asked for by the names of services. */
export class Rendered {
  constructor(readonly objects: readonly KubernetesObject[]) {}

  /** Kind and name of everything, sorted. */
  get names(): string[] {
    return this.objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();
  }

  get daemonSets(): IDaemonSet[] {
    return this.#ofKind('DaemonSet') as unknown as IDaemonSet[];
  }

  /** Names of the services, sorted. */
  get apps(): string[] {
    return this.daemonSets.map(appOf).sort();
  }

  /** The object of this kind; there is one. */
  only(kind: string): KubernetesObject {
    const [object, ...others] = this.#ofKind(kind);
    if (object === undefined || others.length > 0) throw new Error(`there is no one ${kind}`);
    return object;
  }

  daemonSet(app: string): IDaemonSet {
    const found = this.daemonSets.find((daemonSet) => appOf(daemonSet) === app);
    if (found === undefined) throw new Error(`there is no DaemonSet of ${app}`);
    return found;
  }

  pod(app: string): IPodSpec {
    return podOf(this.daemonSet(app));
  }

  container(app: string): IContainer {
    return containerOf(this.daemonSet(app));
  }

  volume(app: string, name: string): IVolume | undefined {
    return this.pod(app).volumes?.find((volume) => volume.name === name);
  }

  /** Where a volume is in the container of a service; undefined when it is not. */
  mountPath(app: string, name: string): string | undefined {
    return this.container(app).volumeMounts?.find((mount) => mount.name === name)?.mountPath;
  }

  /** Value of a variable, as it stands there. */
  env(app: string, name: string): string | undefined {
    return this.container(app).env?.find((variable) => variable.name === name)?.value;
  }

  /** Text of the configuration file that a service gets. */
  configurationText(app: string): string {
    const name = this.volume(app, 'configuration')?.configMap?.name;
    const configMap = (this.#ofKind('ConfigMap') as unknown as IConfigMap[]).find(
      ({ metadata }) => metadata?.name === name,
    );
    return configMap?.data?.['config.yaml'] ?? '';
  }

  /** The configuration file that a service gets. */
  configuration(app: string): Readonly<Record<string, unknown>> {
    return parse(this.configurationText(app)) as Readonly<Record<string, unknown>>;
  }

  #ofKind(kind: string): KubernetesObject[] {
    return this.objects.filter((object) => object.kind === kind);
  }
}

/** Name of the service that a DaemonSet of the chart runs. */
export const appOf = (daemonSet: IDaemonSet): string =>
  daemonSet.metadata?.labels?.['app.kubernetes.io/component'] ?? '';

/** Spec of the pods of a DaemonSet. */
export function podOf({ spec }: IDaemonSet): IPodSpec {
  if (spec?.template.spec === undefined) throw new Error('a DaemonSet without a pod');
  return spec.template.spec;
}

/** The container of a DaemonSet's pods; there is one. */
export function containerOf(daemonSet: IDaemonSet): IContainer {
  const [container, ...others] = podOf(daemonSet).containers;
  if (container === undefined || others.length > 0) throw new Error('not one container');
  return container;
}
