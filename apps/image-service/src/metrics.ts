import { ImageServiceDefinition } from '@stowage/cri-proto';
import { methodLabels } from '@stowage/cri-proto/paths';
import type { CallListener, CallSummary } from '@stowage/cri-endpoint';
import { grpcCodeName } from '@stowage/errors';
import { MethodHistogram } from '@stowage/service-kit';
import type { ProviderRun } from '@stowage/registry-auth';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ImageListeners } from './listeners/listeners';
import type { MustPullResult } from './records/image-pull-records';
import { pullErrorClasses } from './pull/classify-pull-error';
import { pullSizeClass } from './pull/pull-size-class';
import type { RecordCounts } from './records/record-store';

/** Kubelet's buckets for the duration of a pull, in seconds. */
const pullBuckets = [
  1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
];

/** From a local answer to a large list; a pull's time is in the histogram of pulls. */
const callBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60];

const methodLabel = methodLabels(ImageServiceDefinition);

const mustPullResults: readonly MustPullResult[] = [
  'credentialPolicyAllowed',
  'credentialRecordFound',
  'mustAuthenticate',
  'error',
];

/** What the gauges show. */
export interface PullNumbers {
  inFlight(): number;
  waiting(): number;
}

/** The metrics of this app. Each is registered once, in the registry of the process. */
export function imageMetrics(registry: Registry, numbers: PullNumbers) {
  const registers = [registry];
  const pulls = new Counter({
    name: 'stowage_image_pulls_total',
    help: 'Pulls that ended, by result: success or the class of the error. Callers that joined a pull are not counted.',
    labelNames: ['result'],
    registers,
  });
  // From the start on, so that the first failure of a class is an increase.
  for (const result of ['success', ...pullErrorClasses]) pulls.inc({ result }, 0);
  const duration = new Histogram({
    name: 'stowage_image_pull_duration_seconds',
    help: "Time successful pulls took in the runtime, by kubelet's size classes. Failed pulls are not counted.",
    labelNames: ['image_size_in_bytes'],
    buckets: pullBuckets,
    registers,
  });
  const bytes = new Counter({
    name: 'stowage_image_pulled_bytes_total',
    help: 'Sizes, as the runtime reports them, of the images pulled. Layers that were there already are counted.',
    registers,
  });
  const attempts = new Counter({
    name: 'stowage_image_pull_attempts_total',
    help: 'PullImage calls to the runtime, by source of the credential and result.',
    labelNames: ['credential', 'result'],
    registers,
  });
  const problems = new Counter({
    name: 'stowage_image_credential_problems_total',
    help: 'Credential sources that could not be used, by kind; counted once for each change of the source.',
    labelNames: ['source'],
    registers,
  });
  for (const source of ['docker-config', 'secret', 'credential-helper', 'credential-provider']) {
    problems.inc({ source }, 0);
  }
  const coalesced = new Counter({
    name: 'stowage_image_pulls_coalesced_total',
    help: 'Callers that took part in a pull that was going on already.',
    registers,
  });
  const removals = new Counter({
    name: 'stowage_image_removals_total',
    help: 'Removals on request, by result: success, remained (the runtime answered with success and has the image still), unconfirmed (it does not say), error. Requests for images that were not there are not counted.',
    labelNames: ['result'],
    registers,
  });
  for (const result of ['success', 'remained', 'unconfirmed', 'error']) removals.inc({ result }, 0);
  const ensures = new Counter({
    name: 'stowage_image_ensures_total',
    help: 'Ensure commands, by pull policy and result.',
    labelNames: ['pull_policy', 'result'],
    registers,
  });
  const ensureRequests = new Counter({
    name: 'stowage_image_ensure_requests_total',
    help: "Ensure commands as kubelet counts them: by pull policy, whether the image was there, and whether it had to be pulled. What was not looked at is 'unknown'.",
    labelNames: ['pull_policy', 'present_locally', 'pull_required'],
    registers,
  });
  const backOffs = new Counter({
    name: 'stowage_image_pull_back_offs_total',
    help: 'Ensure commands that were refused because a pull for the same caller and image had failed not long before.',
    registers,
  });
  new Gauge({
    name: 'stowage_image_pulls_in_flight',
    help: 'Pulls that have begun at the runtime and not ended. Callers that wait for the same pull count once.',
    registers,
    collect() {
      this.set(numbers.inFlight());
    },
  });
  new Gauge({
    name: 'stowage_image_pulls_waiting',
    help: 'Pulls that wait for a free place or for the rate. Callers that wait for the same pull count once.',
    registers,
    collect() {
      this.set(numbers.waiting());
    },
  });
  const waited = new Histogram({
    name: 'stowage_image_pull_wait_seconds',
    help: 'Time successful pulls waited in the queue. Pulls that failed or were given up there are not counted.',
    buckets: [0.01, 0.1, 1, 5, 10, 30, 60, 120, 300, 600, 1800],
    registers,
  });
  const listeners: ImageListeners = {
    pull: {
      attempted: ({ source }, result) => attempts.inc({ credential: source, result }),
      succeeded: (_pull, { image, durationMs, waitedMs }) => {
        waited.observe(waitedMs / 1000);
        const sizeBytes = Number(image?.size ?? 0n);
        pulls.inc({ result: 'success' });
        duration.observe({ image_size_in_bytes: pullSizeClass(sizeBytes) }, durationMs / 1000);
        bytes.inc(sizeBytes);
      },
      failed: (_pull, { errorClass }) => pulls.inc({ result: errorClass }),
      joined: () => coalesced.inc(),
    },
    remove: {
      removed: () => removals.inc({ result: 'success' }),
      remained: () => removals.inc({ result: 'remained' }),
      unconfirmed: () => removals.inc({ result: 'unconfirmed' }),
      failed: () => removals.inc({ result: 'error' }),
    },
    ensure: {
      backedOff: () => backOffs.inc(),
      ended: ({ pullPolicy, presentLocally, pullRequired, result }) => {
        const pull_policy = pullPolicy.toLowerCase();
        ensures.inc({ pull_policy, result });
        ensureRequests.inc({
          pull_policy,
          present_locally: String(presentLocally),
          pull_required: String(pullRequired),
        });
      },
    },
  };
  const checks = new Counter({
    name: 'stowage_image_must_pull_checks_total',
    help: "Checks whether a caller may use an image that is there, by result, in kubelet's words.",
    labelNames: ['result'],
    registers,
  });
  for (const result of mustPullResults) checks.inc({ result }, 0);
  const providerRuns = new Histogram({
    name: 'stowage_image_credential_provider_duration_seconds',
    help: 'Runs of credential-provider plugins, by plugin (those of the configuration) and result. Answers from the cache are not counted.',
    labelNames: ['provider', 'result'],
    registers,
  });
  const recordProblems = new Counter({
    name: 'stowage_image_pull_record_problems_total',
    help: 'Pull records that could not be read or written.',
    registers,
  });
  let counts: (() => RecordCounts) | undefined;
  for (const [name, kind, help] of [
    [
      'stowage_image_pull_intents',
      'intents',
      'Pull intents on disk: pulls that go on, and those that a killed service left behind and whose image the runtime does not have.',
    ],
    [
      'stowage_image_pulled_records',
      'pulledRecords',
      'Pulled records on disk; those of images that are gone are dropped from time to time.',
    ],
  ] as const) {
    new Gauge({
      name,
      help: `${help} 0 while imagePullCredentialsVerificationPolicy is Off.`,
      registers,
      collect() {
        try {
          this.set(counts?.()[kind] ?? 0);
        } catch {
          // The folder cannot be read: the problem shows where a record is wanted.
          this.reset();
        }
      },
    });
  }
  return {
    listeners,
    /** Shows how many of these records there are. */
    countRecords: <R extends { counts(): RecordCounts }>(records: R): R => {
      counts = () => records.counts();
      return records;
    },
    recordChecked: (result: MustPullResult) => {
      checks.inc({ result });
    },
    providerRan: ({ provider, durationMs, failed }: ProviderRun) => {
      const labels = { provider, result: failed ? 'error' : 'success' };
      providerRuns.observe(labels, durationMs / 1000);
    },
    recordProblem: () => {
      recordProblems.inc();
    },
    calls: callMetrics(registry),
    credentialProblem: (source: string) => {
      problems.inc({ source });
    },
  };
}

/** What {@link imageMetrics} returns. */
export type ImageMetrics = ReturnType<typeof imageMetrics>;

/** Ended calls of a method by who answered and code. */
type EndedCalls = Readonly<Record<CallSummary['servedBy'], Map<string, number>>>;

/**
 * Calls on the CRI socket, handled here or forwarded. Their counts go to prom-client when somebody
 * asks for the metrics: looking up labels for each call would cost more than forwarding it.
 */
function callMetrics(registry: Registry): CallListener {
  const registers = [registry];
  const methods = new Map<string, EndedCalls>();
  const endedOf = (method: string): EndedCalls => {
    const known = methods.get(method);
    if (known !== undefined) return known;
    const ended: EndedCalls = { runtime: new Map(), local: new Map() };
    methods.set(method, ended);
    return ended;
  };
  new Counter({
    name: 'stowage_image_calls_total',
    help: 'Calls on the CRI socket that ended, by method (other than those of ImageService: other), who answered, and gRPC status (NONE when the client was gone).',
    labelNames: ['method', 'served_by', 'code'],
    registers,
    collect() {
      this.reset();
      for (const [method, ended] of methods) {
        for (const served_by of ['runtime', 'local'] as const) {
          for (const [code, count] of ended[served_by]) {
            this.inc({ method, served_by, code }, count);
          }
        }
      }
    },
  });
  const seconds = new MethodHistogram(registry, {
    name: 'stowage_image_call_duration_seconds',
    help: 'Time of calls on the CRI socket but for PullImage, from the request headers to the end of the stream.',
    labelNames: ['method'],
    buckets: callBuckets,
  });
  return {
    ended: ({ method: path, servedBy, grpcStatus, durationMs }) => {
      const method = methodLabel(path);
      const code = grpcStatus === undefined ? 'NONE' : grpcCodeName(grpcStatus);
      const byCode = endedOf(method)[servedBy];
      byCode.set(code, (byCode.get(code) ?? 0) + 1);
      if (method !== 'PullImage') seconds.observe(method, durationMs / 1000);
    },
  };
}
