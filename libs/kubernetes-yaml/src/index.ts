export { KubernetesYamlError, parseKubernetesYaml } from './kubernetes-yaml';
export type { KubernetesYaml } from './kubernetes-yaml';
