import type { ConformanceAdapter, ConformanceCase, ConformanceOutcome } from '@stowage/conformance';
import { BackOff } from '../../apps/image-service/src/ensure/back-off';
import type { PullCredential } from '../../apps/image-service/src/credentials/credentials';
import { EnsureImageError, pullFailure } from '../../apps/image-service/src/ensure/ensure-error';
import {
  EnsureImage,
  type EnsureFindings,
  type EnsureNote,
} from '../../apps/image-service/src/ensure/ensure-image';
import { PullImage } from '../../apps/image-service/src/pull/pull-image';
import {
  defaultPullPolicy,
  type PullPolicy,
} from '../../apps/image-service/src/ensure/pull-policy';
import { PullQueue, type PullLimits } from '../../apps/image-service/src/pull/pull-queue';
import type {
  CallerCredentials,
  PullRecords,
} from '../../apps/image-service/src/records/pull-records';
import { RecordedPull } from '../../apps/image-service/src/records/recorded-pull';
import { FakeRuntime } from '../../apps/image-service/src/testing/fake-runtime';
import { pickLike } from '../forms';

interface Coordinates {
  readonly Name: string;
  readonly Namespace: string;
  readonly UID: string;
}

type KeyringCredentials = Readonly<
  Record<string, readonly { readonly source?: { readonly service_account?: Coordinates } }[]>
>;

interface MetricLabels {
  readonly pull_policy: string;
  readonly present_locally: string;
  readonly pull_required: string;
}

interface SequenceCase extends ConformanceCase {
  readonly image: string;
  readonly policy: PullPolicy;
  readonly present: boolean;
  readonly secret_check_enabled: boolean;
  readonly inspect_error: string | null;
  readonly pull_error: string | null;
  readonly qps: number;
  readonly burst: number;
  readonly records_allow:
    | 'anything'
    | {
        readonly secrets?: Readonly<Record<string, readonly Coordinates[]>>;
        readonly service_accounts?: Readonly<Record<string, readonly Coordinates[]>>;
      };
  readonly pod_secrets?: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly for_repo: string;
  }[];
  readonly keyring_creds?: KeyringCredentials;
  readonly clock_step_seconds: number;
  readonly backoff_seconds: { readonly initial: number; readonly max: number };
  readonly calls: readonly {
    readonly cri_calls: readonly string[];
    readonly error: string | null;
    readonly pull_started: boolean;
    readonly pull_finished: boolean;
    readonly event_reasons: readonly string[];
    readonly message_contains?: string;
  }[];
  readonly metric?: MetricLabels;
}

interface OneShotCase extends ConformanceCase {
  readonly image: string;
  readonly policy: PullPolicy;
  readonly present: boolean;
  readonly secret_check_enabled: boolean;
  readonly verify: '-' | 'ok' | 'required' | 'error';
  readonly inspect_error?: string | null;
  readonly pull_error?: string | null;
  readonly want: {
    readonly calls: readonly string[];
    readonly ref: string;
    readonly error: string | null;
    readonly message: string;
    readonly events: readonly (readonly string[])[];
    readonly pull_started: boolean;
    readonly pull_finished: boolean;
    readonly metric: MetricLabels;
  };
}

interface MappingCase extends ConformanceCase {
  readonly image: string;
  readonly runtime_error: string;
  readonly error: string;
  readonly message: string;
}

interface BackOffCase extends ConformanceCase {
  readonly initial: number;
  readonly max: number;
  readonly timeline: readonly {
    readonly at: number;
    readonly result: string;
    readonly delay_now?: number;
  }[];
}

interface ServiceAccountCase extends ConformanceCase {
  readonly image: string;
  readonly policy: PullPolicy;
  readonly secret_check_enabled: boolean;
  readonly keyring_creds?: KeyringCredentials;
  readonly expected_service_accounts_passed: readonly Coordinates[] | null;
  readonly record_check_called: boolean;
  readonly record_check_says_pull: boolean;
  readonly pulls: boolean;
}

interface ParallelCase extends ConformanceCase {
  readonly limit: number;
  readonly policy: PullPolicy;
  readonly steps: readonly {
    readonly start?: number;
    readonly finish?: number;
    readonly runtime_pulls_running?: number;
    readonly runtime_pulls_started_total?: number;
  }[];
}

interface DefaultPolicyCase extends ConformanceCase {
  readonly image: string;
  readonly policy: string;
}

/** What of the pull records a case decides. */
type MustPull = PullRecords['mustAttemptPull'];

interface HarnessOptions {
  readonly image: string;
  readonly present?: boolean;
  readonly inspectError?: string | null;
  readonly pullError?: string | null;
  readonly limits?: Partial<PullLimits>;
  readonly backOff?: BackOff;
  readonly mustPull?: MustPull;
  readonly credentials?: (repository: string) => PullCredential[];
}

const { signal } = new AbortController();
const imageId = 'sha256:present';

/**
 * The policy over the real pull, queue and back-off; the runtime, the records and the clock belong
 * to the case.
 */
function harness(options: HarnessOptions) {
  const runtime = new FakeRuntime();
  const calls: string[] = [];
  const notes: EnsureNote[] = [];
  const findings: EnsureFindings[] = [];
  const clock = { ms: 0 };
  const pullError = { text: options.pullError ?? null };
  runtime.onPull = ({ succeed, fail }) => {
    calls.push('pull');
    if (pullError.text == null) succeed(imageId);
    else fail(new Error(pullError.text));
  };
  const asRuntime = {
    endpoint: runtime.endpoint,
    availability: () => runtime.availability(),
    pullImage: runtime.pullImage,
    listImages: runtime.listImages,
    removeImage: runtime.removeImage,
    imageFsInfo: runtime.imageFsInfo,
    whenAvailable: runtime.whenAvailable,
    imageStatus: (...call: Parameters<FakeRuntime['imageStatus']>) => {
      const isForSize = calls.at(-1) === 'pull';
      calls.push(isForSize ? 'status-for-size' : 'status');
      if (!isForSize && typeof options.inspectError === 'string') {
        return Promise.reject(new Error(options.inspectError));
      }
      return isForSize || options.present === true
        ? Promise.resolve({ image: runtime.add({ id: imageId }), info: {} })
        : runtime.imageStatus(...call);
    },
  };
  const node = {
    forRepository: (repository: string) =>
      Promise.resolve().then(() => options.credentials?.(repository) ?? []),
  };
  const { mustPull } = options;
  const records: PullRecords | undefined = mustPull && {
    recordIntent: () => Promise.resolve(),
    recordPulled: () => Promise.resolve(),
    recordFailed: () => Promise.resolve(),
    mustAttemptPull: mustPull,
  };
  const queue = new PullQueue(options.limits, () => clock.ms);
  const pulls = new PullImage({ runtime: asRuntime, node, hashOf: () => '', listener: {}, queue });
  const ensurer = new EnsureImage({
    runtime: asRuntime,
    puller: records === undefined ? pulls : new RecordedPull(pulls, records),
    node,
    hashOf: () => '',
    listener: { noted: (note) => notes.push(note), ended: (found) => findings.push(found) },
    records,
    backOff: options.backOff,
    now: () => clock.ms,
    elapsedMs: () => clock.ms,
  });
  /** One call as kubelet's caller sees it. */
  const ensure = async (policy: PullPolicy) => {
    calls.length = 0;
    notes.length = 0;
    const request = { image: options.image, pullPolicy: policy, caller: 'pod' };
    let ref = '';
    let error: string | null = null;
    let message: string | undefined;
    try {
      const ensured = await ensurer.ensure(request, { signal });
      ref = ensured.imageRef === '' ? '' : 'REF';
      // What kubelet returns beside an image that it did not pull.
      message = ensured.pulled ? '' : notes.at(-1)?.message;
    } catch (failure) {
      const isOurs = failure instanceof EnsureImageError;
      message = isOurs ? failure.kubeletMessage : (failure as Error).message;
      error = isOurs ? failure.reason : message;
    }
    const reasons = notes.map(({ reason }) => reason);
    const started = reasons.includes('Pulling');
    return {
      calls: [...calls],
      ref,
      error,
      message: message ?? '',
      events: notes.map(({ type, reason, message: text }) => [type, reason, withoutNumbers(text)]),
      reasons,
      pull_started: started,
      pull_finished: started && reasons.includes('Pulled'),
      metric: labels(findings.at(-1)),
    };
  };
  return { runtime, ensurer, clock, pullError, ensure };
}

/** A duration as Go prints one that was cut to milliseconds. */
const goDuration = String.raw`(?:0s|[1-9]\d{0,2}ms|(?:(?:\d+h)?\d+m)?\d+(?:\.\d{1,3})?s)`;
const pulledNumbers = new RegExp(
  ` in ${goDuration} \\(${goDuration} including waiting\\)\\. Image size: \\d+ bytes\\.$`,
);

const withoutNumbers = (text: string): string =>
  text.replace(pulledNumbers, ' in D1 (D2 including waiting). Image size: N bytes.');

const labels = (found: EnsureFindings | undefined) => ({
  pull_policy: found?.pullPolicy.toLowerCase(),
  present_locally: String(found?.presentLocally),
  pull_required: String(found?.pullRequired),
});

const account = ({ Name, Namespace, UID }: Coordinates) => ({
  name: Name,
  namespace: Namespace,
  uid: UID,
});

function keyringOf(credentials: KeyringCredentials | undefined, repository: string) {
  return (credentials?.[repository] ?? []).map(({ source }): PullCredential => {
    const serviceAccount = source?.service_account;
    return {
      label: { source: 'credential-provider' },
      owner: serviceAccount == null ? undefined : { serviceAccount: account(serviceAccount) },
    };
  });
}

/** Records as the case has them: an image and who may use it. */
function allowing(allow: SequenceCase['records_allow'], image: string): MustPull {
  return async (asked, _imageRef, credentials) => {
    if (allow === 'anything') return false;
    const { secrets, serviceAccount } = await credentials();
    const mine: CallerCredentials['serviceAccount'][] = [...secrets, serviceAccount];
    const allowed = [
      ...(asked === image ? (allow.secrets?.[image] ?? []) : []),
      ...(asked === image ? (allow.service_accounts?.[image] ?? []) : []),
    ];
    return !allowed.some(({ Name, Namespace, UID }) =>
      mine.some((one) => one?.name === Name && one.namespace === Namespace && one.uid === UID),
    );
  };
}

async function sequence(testCase: SequenceCase): Promise<ConformanceOutcome> {
  const { image, qps, burst } = testCase;
  const { initial, max } = testCase.backoff_seconds;
  const { clock, ensure } = harness({
    image,
    present: testCase.present,
    inspectError: testCase.inspect_error,
    pullError: testCase.pull_error,
    limits: { qps, burst, qpsMaxWaitMs: 0 },
    backOff: new BackOff({ initialMs: initial * 1000, maxMs: max * 1000 }),
    mustPull: testCase.secret_check_enabled ? allowing(testCase.records_allow, image) : undefined,
    credentials: (repository) => [
      ...(testCase.pod_secrets ?? [])
        .filter(({ for_repo }) => for_repo === repository)
        .map(({ namespace, name, uid }): PullCredential => {
          const secret = { uid, namespace, name, credentialHash: '' };
          return { label: { source: 'kubernetes-secret' }, owner: { secret } };
        }),
      ...keyringOf(testCase.keyring_creds, repository),
    ],
  });
  const want: unknown[] = [];
  const got: unknown[] = [];
  let metric: unknown;
  for (const call of testCase.calls) {
    clock.ms += testCase.clock_step_seconds * 1000;
    const outcome = await ensure(testCase.policy);
    metric = outcome.metric;
    const { message_contains: part } = call;
    const contains = part === undefined ? undefined : true;
    want.push({ ...call, error: call.error ?? null, message_contains: contains });
    got.push(
      pickLike(
        call,
        {
          cri_calls: outcome.calls,
          error: outcome.error,
          pull_started: outcome.pull_started,
          pull_finished: outcome.pull_finished,
          event_reasons: outcome.reasons,
          message_contains: part === undefined ? undefined : outcome.message.includes(part),
        },
        ['error'],
      ),
    );
  }
  return {
    want: { calls: want, metric: testCase.metric },
    got: { calls: got, metric: testCase.metric === undefined ? undefined : metric },
  };
}

async function oneShot(testCase: OneShotCase): Promise<ConformanceOutcome> {
  const { verify } = testCase;
  const { ensure } = harness({
    image: testCase.image,
    present: testCase.present,
    inspectError: testCase.inspect_error,
    pullError: testCase.pull_error,
    mustPull: testCase.secret_check_enabled
      ? async (_image, _imageRef, credentials) => {
          await credentials();
          return verify === 'required';
        }
      : undefined,
    credentials: () => {
      if (verify === 'error') throw new Error('raw credential-lookup error');
      return [];
    },
  });
  const got = await ensure(testCase.policy);
  const { want } = testCase;
  return { want: { ...want, error: want.error ?? null }, got: pickLike(want, got, ['error']) };
}

async function backOffTimeline(testCase: BackOffCase): Promise<ConformanceOutcome> {
  const backOff = new BackOff({ initialMs: testCase.initial * 1000, maxMs: testCase.max * 1000 });
  const { clock, pullError, ensure } = harness({ image: 'reg.io/a:1', backOff });
  const got: unknown[] = [];
  for (const { at, result, delay_now } of testCase.timeline) {
    clock.ms = at * 1000;
    pullError.text = result.includes('fail') ? 'no' : null;
    const { error } = await ensure('Always');
    const outcome =
      error === 'ImagePullBackOff' ? 'backoff' : error == null ? 'success' : 'pull fails';
    const until = backOff.inBackOff('pod_reg.io/a:1', clock.ms)?.until;
    got.push({
      at,
      result: outcome === 'success' && !/fail|backoff/.test(result) ? result : outcome,
      ...(delay_now === undefined
        ? {}
        : { delay_now: until === undefined ? undefined : until / 1000 - at }),
    });
  }
  return { want: testCase.timeline, got };
}

async function serviceAccounts(testCase: ServiceAccountCase): Promise<ConformanceOutcome> {
  const expected = testCase.expected_service_accounts_passed;
  const fallback = { Name: 'test-service-account', Namespace: 'test-ns', UID: 'sa-uid-123' };
  let isCalled = false;
  let passed: CallerCredentials | undefined;
  const { ensure } = harness({
    image: testCase.image,
    present: true,
    mustPull: testCase.secret_check_enabled
      ? async (_image, _imageRef, credentials) => {
          isCalled = true;
          passed = await credentials();
          return testCase.record_check_says_pull;
        }
      : undefined,
    credentials: (repository) =>
      keyringOf(
        testCase.keyring_creds ?? {
          [repository]: (expected ?? [fallback]).map((one) => ({
            source: { service_account: one },
          })),
        },
        repository,
      ),
  });
  const { calls } = await ensure(testCase.policy);
  const accounts = passed?.serviceAccount === undefined ? [] : [passed.serviceAccount];
  return {
    want: {
      accounts: expected?.map(account) ?? null,
      isCalled: testCase.record_check_called,
      pulls: testCase.pulls,
    },
    got: {
      accounts: passed === undefined ? null : accounts,
      isCalled,
      pulls: calls.includes('pull'),
    },
  };
}

async function parallelLimit(testCase: ParallelCase): Promise<ConformanceOutcome> {
  const { runtime, ensurer } = harness({
    image: 'reg.io/a:1',
    limits: { maxParallel: testCase.limit },
  });
  runtime.onPull = undefined;
  let asked = 0;
  let finished = 0;
  const ensures: Promise<unknown>[] = [];
  const want: unknown[] = [];
  const got: unknown[] = [];
  for (const step of testCase.steps) {
    // Different images: callers of one image would share a pull.
    for (let count = 0; count < (step.start ?? 0); count++) {
      const request = { image: `reg.io/a:${String(++asked)}`, pullPolicy: testCase.policy };
      ensures.push(ensurer.ensure(request, { signal }));
    }
    for (let count = 0; count < (step.finish ?? 0); count++) {
      runtime.pulls[finished++]?.succeed(imageId);
    }
    // All promises that are ready go on.
    for (let count = 0; count < 5; count++) await new Promise((resolve) => setImmediate(resolve));
    const { runtime_pulls_running, runtime_pulls_started_total } = step;
    want.push({ runtime_pulls_running, runtime_pulls_started_total });
    got.push({
      runtime_pulls_running:
        runtime_pulls_running === undefined ? undefined : runtime.pulls.length - finished,
      runtime_pulls_started_total:
        runtime_pulls_started_total === undefined ? undefined : runtime.pulls.length,
    });
  }
  for (const pull of runtime.pulls) pull.succeed(imageId);
  await Promise.all(ensures);
  return { want, got };
}

/** Kubelet's EnsureImageExists, its back-off and its limit of parallel pulls. */
export const conformance: ConformanceAdapter = {
  file: 'ensure-image',
  sections: {
    sequences: sequence,
    one_shot: oneShot,
    runtime_error_mapping: ({ image, runtime_error, error, message }: MappingCase) => {
      const { reason, message: got } = pullFailure(image, runtime_error);
      return { want: { error, message }, got: { error: reason, message: got } };
    },
    backoff: backOffTimeline,
    service_account_inputs: serviceAccounts,
    parallel_limit: parallelLimit,
    default_policy: ({ image, policy }: DefaultPolicyCase) => ({
      want: policy,
      got: defaultPullPolicy(image),
    }),
  },
};
