import type { ConformanceAdapter, ConformanceCase, ConformanceOutcome } from '@stowage/conformance';
import { type GrpcStatusName, isGrpcStatusName } from '@stowage/errors';
import { callTimeoutMs } from '../../libs/cri-client/src/call-timeout';
import { CriError, kubeletErrorText } from '../../libs/cri-client/src/errors';
import { imageRules } from '../../libs/cri-client/src/image-rules';
import { connectImageService } from '../../libs/cri-client/src/image-service';
import type { MethodRule } from '../../libs/cri-client/src/method-rules';
import { negotiateVersion } from '../../libs/cri-client/src/negotiate-version';
import { runtimeRules } from '../../libs/cri-client/src/runtime-rules';
import { connectRuntimeService } from '../../libs/cri-client/src/runtime-service';
import {
  FakeCriServer,
  FakeStatus,
  temporarySocket,
} from '../../libs/cri-client/src/testing/fake-cri-server';
import type { CriServiceName } from '../../libs/cri-client/src/types';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

interface Expectation {
  readonly error?: string | null;
  readonly error_starts_with?: string | null;
}
interface StatusCase extends ConformanceCase, Expectation {
  readonly status: Json;
}
interface ResponseCase extends ConformanceCase, Expectation {
  readonly call: string;
  readonly request?: Json;
  readonly response?: Json;
  readonly grpc_error?: { readonly code: string; readonly message: string };
}
interface NegotiationCase extends ConformanceCase, Expectation {
  readonly era: string;
  readonly service: CriServiceName;
  readonly probe_result: string;
  readonly outcome: string;
}
interface DeadlineCase extends ConformanceCase {
  readonly call: string;
  readonly deadline: string;
}

export const conformance: ConformanceAdapter = {
  file: 'cri-validation',
  sections: {
    sandbox_status: (testCase: StatusCase) =>
      callResult({
        ...testCase,
        call: 'PodSandboxStatus',
        response: { status: testCase.status },
      }),
    container_status: (testCase: StatusCase) =>
      callResult({
        ...testCase,
        call: 'ContainerStatus',
        response: { status: testCase.status },
      }),
    other_responses: callResult,
    negotiation: negotiationResult,
    deadlines: deadlineResult,
  },
};

/** Makes the call with the client, over a socket, to a runtime that answers as the case says. */
async function callResult(testCase: ResponseCase): Promise<ConformanceOutcome> {
  const { call, grpc_error: grpcError, response } = testCase;
  const socket = temporarySocket();
  const server = await FakeCriServer.start(socket.path);
  const endpoint = `unix://${socket.path}`;
  const clients = [connectRuntimeService({ endpoint }), connectImageService({ endpoint })];
  try {
    await Promise.all(clients.map((client) => client.whenAvailable()));
    server.handlers[call] = () => {
      if (grpcError !== undefined) {
        throw new FakeStatus(statusOf(grpcError.code), grpcError.message);
      }
      return message(response ?? {});
    };
    const methods = Object.assign({}, ...clients) as Record<
      string,
      ((request?: object) => Promise<unknown>) | undefined
    >;
    const method = methods[call.charAt(0).toLowerCase() + call.slice(1)];
    if (method === undefined) throw new Error(`no call ${call}`);
    let text: string | null = null;
    try {
      await method(requestOf(testCase));
    } catch (error) {
      text = kubeletErrorText(error);
    }
    return expectation(testCase, text);
  } finally {
    for (const client of clients) client.close();
    server.kill();
    socket.remove();
  }
}

/** A request in the case's own words; none at all where the case says null. */
function requestOf({ request }: ResponseCase): object | undefined {
  if (request == null && request !== undefined) return undefined;
  const { image, timeout_seconds: timeout, ...rest } = (request ?? {}) as Record<string, Json>;
  return {
    ...(message(rest) as object),
    ...(image === undefined ? {} : { image: typeof image === 'string' ? { image } : image }),
    ...(timeout === undefined ? {} : { timeout }),
  };
}

/**
 * A message out of a case: field names as the types have them, null as not set, conditions by their
 * type alone.
 */
function message(json: Json): unknown {
  if (json == null) return undefined;
  if (Array.isArray(json)) return json.map(message);
  if (typeof json !== 'object') return json;
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [
      key.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase()),
      key === 'conditions' && Array.isArray(value)
        ? value.map((type) => (typeof type === 'string' ? { type } : message(type)))
        : (key === 'stdout' || key === 'stderr') && typeof value === 'string'
          ? Buffer.from(value)
          : message(value),
    ]),
  );
}

async function negotiationResult(testCase: NegotiationCase): Promise<ConformanceOutcome> {
  const { era, service, probe_result: result, outcome } = testCase;
  let got: string;
  let text: string | null = null;
  try {
    got = await negotiateVersion({
      service,
      endpoint: 'unix:///run/cri.sock',
      versions: era.startsWith('1.26') ? 'v1' : 'v1-or-v1alpha2',
      probe: () =>
        result === 'ok'
          ? Promise.resolve()
          : Promise.reject(new CriError('probe', statusOf(result), 'as the case says')),
    });
  } catch (error) {
    got = 'error';
    text = (error as Error).message;
  }
  const errors = expectation(testCase, text);
  return {
    want: { outcome: outcome.split(' ')[0], error: errors.want },
    got: { outcome: got, error: errors.got },
  };
}

/** Seconds; long enough that no time-out below is cut short by rounding. */
const baseSeconds = 120;

/**
 * Compares the rule's limit with the case's formula, for some numbers in place of its variable. The
 * formulas are `none`, `error`, `base`, `2*base`, `base + …`, `t if t > base …, else base …` and
 * `caller deadline, else base`.
 */
function deadlineResult({ call, deadline }: DeadlineCase): ConformanceOutcome {
  const [, names = '', argument] = /^([^(]*)(?:\((.*)\))?$/.exec(call) ?? [];
  const rules = rulesNamed(names);
  if (rules.length === 0) throw new Error(`no call in "${call}"`);
  const seconds = secondsIn(argument);
  const callers = deadline.includes('caller') ? [undefined, 7, 700] : [undefined];
  const tried = rules.flatMap((rule) =>
    seconds.flatMap((t) => callers.map((caller) => ({ rule, t, caller }))),
  );
  return {
    want: tried.map(({ t, caller }) => limitBy(deadline, t, caller)),
    got: tried.map(({ rule, t, caller }) => {
      const request = { timeout: BigInt(t) };
      const callerMs = caller === undefined ? undefined : caller * 1000;
      let sent: { timeout: bigint } | undefined;
      try {
        sent = rule.prepare?.(request, baseSeconds * 1000);
      } catch {
        return { limit: 'error' };
      }
      const limitMs = callTimeoutMs(rule, request, baseSeconds * 1000, callerMs);
      return {
        limit: limitMs === undefined ? 'none' : limitMs / 1000,
        requestTimeout: deadline.includes('raised') ? Number(sent?.timeout) : undefined,
      };
    }),
  };
}

/**
 * The numbers to try for a call's argument: the one it names, a negative one for `< 0`, else some.
 */
function secondsIn(argument: string | undefined): number[] {
  if (argument === undefined) return [0];
  if (argument.includes('<')) return [-1];
  const number = /-?\d+/.exec(argument);
  return number == null ? [5, 700] : [Number(number[0])];
}

function limitBy(formula: string, t: number, caller: number | undefined) {
  const text = formula.replace(/\(.*?\)/g, '').trim();
  if (text.startsWith('none')) return { limit: 'none' };
  if (text.startsWith('error')) return { limit: 'error' };
  if (/^2\s*[*x×]\s*base/.test(text)) return { limit: 2 * baseSeconds };
  if (/^base\s*\+/.test(text)) return { limit: baseSeconds + t };
  if (/^t if t > base/.test(text)) {
    const limit = Math.max(t, baseSeconds);
    return text.includes('raised') ? { limit, requestTimeout: limit } : { limit };
  }
  if (text.startsWith('caller deadline')) return { limit: caller ?? baseSeconds };
  if (text === 'base') return { limit: baseSeconds };
  throw new Error(`unknown formula "${formula}"`);
}

type AnyRule = MethodRule<unknown, { timeout: bigint }, unknown>;

/** The rules of the calls in a text: `Status`, `Exec, Attach` or `List*`. */
function rulesNamed(names: string): AnyRule[] {
  const all = Object.entries({ ...runtimeRules, ...imageRules }) as unknown as [string, AnyRule][];
  return [...names.matchAll(/([A-Z]\w*)(\*?)/g)].flatMap(([, name = '', star]) => {
    const start = name.charAt(0).toLowerCase() + name.slice(1);
    return all
      .filter(([method]) => (star === '*' ? method.startsWith(start) : method === start))
      .map(([, rule]) => rule);
  });
}

/** What the case says about the error, against what came of it. */
function expectation(wanted: Expectation, text: string | null): ConformanceOutcome {
  const { error, error_starts_with: start } = wanted;
  if (error !== undefined) return { want: error, got: text };
  if (start == null) return { want: null, got: text };
  return { want: start, got: text?.startsWith(start) === true ? start : text };
}

/** `NotFound`, as Go names it, as `NOT_FOUND`. */
function statusOf(goName: string): GrpcStatusName {
  const name = goName
    .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
    .toUpperCase()
    .replace(/^CANCELED$/, 'CANCELLED');
  if (!isGrpcStatusName(name)) throw new Error(`no gRPC status ${goName}`);
  return name;
}
