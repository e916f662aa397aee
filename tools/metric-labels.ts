import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { keepRules } from '@stowage/commands';
import ts from 'typescript';

const root = path.resolve(__dirname, '..');

const code = 'gRPC status names and `OK`; `NONE` where the client was gone';
const method = 'names of CRI methods; `other`';
const pullErrors =
  '`unauthorized`, `credentials-unusable`, `not-found`, `rate-limited`, `registry-unavailable`, `signature-invalid`, `digest-mismatch`, `invalid-reference`, `no-space`, `node-storage`, `timeout`, `cancelled`, `runtime-unavailable`, `unknown`';
const words = (...list: readonly string[]): string => list.map((word) => `\`${word}\``).join(', ');
const cniCommands = words('ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION');
const containerStates = words('created', 'running', 'exited');
const sessionKinds = words('exec', 'attach', 'portforward');
const streamingProtocols = words('spdy', 'websocket', 'spdy-in-websocket');

/**
 * Values of each label, in words; those of one metric stand under `<metric> <label>`. All come from
 * closed sets, but for what the node itself has few of (mount points, plugins).
 */
const labelValues: Readonly<Record<string, string>> = {
  api: 'version of the API in use',
  app: 'name of the app',
  by: words('images', 'containers', 'other'),
  code,
  component: 'names of health components, as in `/readyz`',
  credential: words(
    'none',
    'request',
    'docker-config',
    'kubernetes-secret',
    'service-account',
    'credential-helper',
    'credential-provider',
  ),
  direction: words('request', 'response'),
  event: 'names of events, such as `ImagePulled`',
  image_size_in_bytes: "kubelet's size classes, `0-10MB` and on; `N/A` where the size is not known",
  mark: words('warning', 'high', 'critical'),
  method,
  mountpoint: 'mount points that the runtime names',
  node_version: 'version of Node.js',
  observed_by: words('client', 'call', 'runtime-event', 'listing'),
  operation: "kubelet's names of runtime operations, such as `list_images`",
  present_locally: words('true', 'false', 'unknown'),
  provider: 'names of the credential-provider plugins of the configuration',
  pull_policy: words('always', 'ifnotpresent', 'never'),
  pull_required: words('true', 'false', 'unknown'),
  resource: words('bytes', 'inodes'),
  role: words('image', 'container'),
  rule: words(...keepRules),
  served_by: words('runtime', 'local'),
  socket: words('main', 'readonly'),
  state: words('ok', 'degraded', 'down'),
  'stowage_gc_collect_mode mode': words('on', 'shadow', 'off'),
  trigger: words('threshold', 'max-age', 'request', 'period'),
  verb: "verbs of the app's commands; `unknown`",
  version: 'version of Stowage',
  'stowage_commands_total code': 'gRPC status names and `OK`',
  'stowage_docker_engine_calls_total operation': 'names of calls of the engine’s API',
  'stowage_docker_engine_call_duration_seconds operation': 'names of calls of the engine’s API',
  'stowage_docker_engine_calls_total result': words('ok', 'refused', 'failed', 'no-answer'),
  'stowage_docker_engine_info version': 'version of the engine',
  'stowage_gateway_connections_let_go_total reason': words(
    'not-http2',
    'frame',
    'hpack',
    'header-size',
    'streams',
    'observer',
    'protocol',
    'stalled',
  ),
  'stowage_gateway_known_objects kind': words('sandbox', 'container'),
  'stowage_gateway_listings_total result': words('success', 'error'),
  'stowage_gateway_observer_failures_total source': words(
    'publish',
    'lookup',
    'listing',
    'runtime-event',
  ),
  'stowage_gc_collections_total result': words('ok', 'failed'),
  'stowage_gc_detections_total result': words('ok', 'failed'),
  'stowage_gc_freed_bytes_total kind': words('expected', 'measured'),
  'stowage_gc_hints_refused_total kind': words('hold', 'pull', 'creation'),
  'stowage_gc_hints_refused_total reason': words('too-many', 'too-long'),
  'stowage_gc_image_bytes state': words('in-use', 'pinned', 'unused'),
  'stowage_gc_images state': words('in-use', 'pinned', 'unused'),
  'stowage_gc_images_collected_total reason': words('threshold', 'max-age', 'request'),
  'stowage_gc_policy_reloads_total result': words('taken', 'refused'),
  'stowage_gc_threshold_available_bytes mark': words('high', 'low'),
  'stowage_gc_threshold_percent mark': words('warning', 'high', 'low', 'critical'),
  'stowage_image_credential_problems_total source': words(
    'docker-config',
    'secret',
    'credential-helper',
    'credential-provider',
  ),
  'stowage_image_credential_provider_duration_seconds result': words('success', 'error'),
  'stowage_image_ensures_total result': words(
    'present',
    'pulled',
    'refused',
    'backed-off',
    'failed',
  ),
  'stowage_image_must_pull_checks_total result': words(
    'credentialPolicyAllowed',
    'credentialRecordFound',
    'mustAuthenticate',
    'error',
  ),
  'stowage_image_pull_attempts_total result': `\`success\`; else ${pullErrors}`,
  'stowage_image_pulls_total result': `\`success\`; else ${pullErrors}`,
  'stowage_image_removals_total result': words('success', 'remained', 'unconfirmed', 'error'),
  'stowage_trace_spans_total result': words('exported', 'failed', 'dropped'),
  'stowage_shim_cni_call_duration_seconds command': cniCommands,
  'stowage_shim_cni_calls_total command': cniCommands,
  'stowage_shim_cni_calls_total result': words('ok', 'failed', 'cancelled'),
  'stowage_shim_containers state': containerStates,
  'stowage_shim_engine_events_total action': words('create', 'start', 'die', 'oom', 'destroy'),
  'stowage_shim_event_differences_total action': words('create', 'start', 'die', 'destroy'),
  'stowage_shim_exec_kills_total reason': words('time-limit', 'cancelled', 'client-gone'),
  'stowage_shim_layer_measurement_duration_seconds result': words('ok', 'failed'),
  'stowage_shim_log_errors_total kind': words('source', 'target', 'malformed', 'gap', 'thread'),
  'stowage_shim_name_conflicts_total result': words('removed', 'renamed', 'exists'),
  'stowage_shim_sandboxes state': containerStates,
  'stowage_shim_streaming_sessions_open kind': sessionKinds,
  'stowage_shim_streaming_sessions_open protocol': streamingProtocols,
  'stowage_shim_streaming_sessions_total kind': sessionKinds,
  'stowage_shim_streaming_sessions_total protocol': streamingProtocols,
};

/** Values of a label of a metric in words; undefined where they are not described. */
export const valuesOf = (metric: string, label: string): string | undefined =>
  labelValues[`${metric} ${label}`] ?? labelValues[label];

/** Labels of every metric of the suite, by the sources that define them. */
export function metricLabels(): Map<string, readonly string[]> {
  const labels = new Map<string, readonly string[]>();
  for (const file of sourceFiles()) {
    const text = readFileSync(file, 'utf8');
    if (!text.includes('labelNames')) continue;
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
    for (const [name, names] of labelsIn(source)) labels.set(name, names);
  }
  return labels;
}

function sourceFiles(): string[] {
  return ['apps', 'libs'].flatMap((group) =>
    readdirSync(path.join(root, group)).flatMap((project) => {
      const src = path.join(root, group, project, 'src');
      try {
        return readdirSync(src, { recursive: true, encoding: 'utf8' })
          .filter((file) => file.endsWith('.ts') && !/\.spec\.ts$|^testing\//.test(file))
          .map((file) => path.join(src, file));
      } catch {
        return []; // no project
      }
    }),
  );
}

/** What metrics are made with: `{ name: 'stowage_…', labelNames: […], … }`, spreads included. */
function labelsIn(source: ts.SourceFile): [string, string[]][] {
  const values = new Map<string, ts.Expression>();
  const found: [string, string[]][] = [];
  const plain = (expression: ts.Expression): ts.Expression =>
    ts.isAsExpression(expression) || ts.isSatisfiesExpression(expression)
      ? plain(expression.expression)
      : expression;
  const lookUp = (object: ts.ObjectLiteralExpression, key: string): ts.Expression | undefined => {
    for (const property of object.properties) {
      const isNamed = property.name?.getText(source) === key;
      if (isNamed && ts.isPropertyAssignment(property)) return plain(property.initializer);
      if (isNamed && ts.isShorthandPropertyAssignment(property)) return values.get(key);
      if (!ts.isSpreadAssignment(property) || !ts.isIdentifier(property.expression)) continue;
      const spread = values.get(property.expression.text);
      const inside =
        spread && ts.isObjectLiteralExpression(spread) ? lookUp(spread, key) : undefined;
      if (inside !== undefined) return inside;
    }
    return undefined;
  };
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer) {
      values.set(node.name.text, plain(node.initializer));
    }
    if (ts.isObjectLiteralExpression(node)) {
      const name = lookUp(node, 'name');
      const labels = lookUp(node, 'labelNames');
      const isMetric = name && ts.isStringLiteral(name) && name.text.startsWith('stowage_');
      if (isMetric && labels && ts.isArrayLiteralExpression(labels)) {
        found.push([name.text, labels.elements.filter(ts.isStringLiteral).map(({ text }) => text)]);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
