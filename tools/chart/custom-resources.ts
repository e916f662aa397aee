/**
 * Objects of the Prometheus Operator and the Grafana Operator, as far as the chart writes them:
 * kubernetes-models has Kubernetes' own alone. Names and meanings are those of their definitions.
 */
interface ObjectMeta {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

interface LabelSelector {
  matchLabels?: Record<string, string>;
}

/** https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor */
export interface IPodMonitor {
  apiVersion: 'monitoring.coreos.com/v1';
  kind: 'PodMonitor';
  metadata: ObjectMeta;
  spec: {
    selector: LabelSelector;
    podMetricsEndpoints: {
      port: string;
      path?: string;
      interval?: string;
      relabelings?: { sourceLabels?: string[]; targetLabel?: string; replacement?: string }[];
    }[];
  };
}

interface Rule {
  alert?: string;
  record?: string;
  expr: string | number;
  for?: string;
  keep_firing_for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

/** https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule */
export interface IPrometheusRule {
  apiVersion: 'monitoring.coreos.com/v1';
  kind: 'PrometheusRule';
  metadata: ObjectMeta;
  spec: {
    groups: {
      name: string;
      interval?: string;
      limit?: number;
      labels?: Record<string, string>;
      rules: Rule[];
    }[];
  };
}

/** https://grafana.github.io/grafana-operator/docs/api/#grafanadashboard */
export interface IGrafanaDashboard {
  apiVersion: 'grafana.integreatly.org/v1beta1';
  kind: 'GrafanaDashboard';
  metadata: ObjectMeta;
  spec: { instanceSelector: LabelSelector; json: string };
}
