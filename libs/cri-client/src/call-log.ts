import { CancelledError, RuntimeUnavailableError, toGrpcStatus } from '@stowage/errors';
import { CommandExitError, CommandTimeoutError, CriError } from './errors';
import { LogReduction } from './log-reduction';
import type { CriCall, CriCallObserver } from './types';

/** The part of a logger that is used: fields, then a message. pino's fits. */
export interface CriCallLog {
  error(fields: object, message: string): void;
}

/** Calls about one object that agents make all the time. */
const reducedMethods: ReadonlySet<string> = new Set([
  'ContainerStatus',
  'ContainerStats',
  'PodSandboxStats',
]);
/** Calls whose request contains a credential, which runtimes and registries sometimes quote. */
const credentialMethods: ReadonlySet<string> = new Set(['PullImage']);
/** Replaces the runtime's message about one of these. */
const withheld = 'withheld: it can quote the credential; the log line of the pull has it without';
/** Calls after which an object's errors are logged again. */
const clearingMethods: ReadonlySet<string> = new Set(['StopContainer', 'RemoveContainer']);

/**
 * Logs every call that failed, as kubelet does, but for those that their caller cancelled. For
 * ContainerStatus, ContainerStats and PodSandboxStats an identical error of the same object is
 * logged at most once a minute; so is, for all calls together, that the runtime is away. Command
 * lines, their outputs and the runtime's message about a pull are not logged, because they can
 * contain secrets. The code that pulls knows the credential, and logs the message without it.
 */
export function criCallLog(
  log: CriCallLog,
  now: () => number = () => performance.now(),
): CriCallObserver {
  const reduction = new LogReduction();
  return {
    callStarted(call) {
      const { method, objectId } = call;
      if (clearingMethods.has(method) && objectId !== undefined) reduction.clear(objectId);
      return {
        ended({ error, durationMs }) {
          if (error === undefined) {
            if (reducedMethods.has(method) && objectId !== undefined) reduction.clear(objectId);
            return;
          }
          // The caller did not want the answer any more, at a stop for instance.
          if (error instanceof CancelledError) return;
          const text = loggable(call, error);
          const key = reductionKey(call, error);
          if (key !== undefined && !reduction.shouldLog(key, text, now())) return;
          log.error(
            {
              method,
              objectId,
              code: toGrpcStatus(error).name,
              error: text,
              durationMs: Math.round(durationMs),
            },
            `${method} from ${call.service} service failed`,
          );
        },
      };
    },
  };
}

function reductionKey(call: CriCall, error: unknown): string | undefined {
  if (error instanceof RuntimeUnavailableError) return `endpoint ${call.service} ${call.endpoint}`;
  return reducedMethods.has(call.method) ? call.objectId : undefined;
}

function loggable({ method }: CriCall, error: unknown): string {
  if (error instanceof CommandExitError) return `command exited with ${error.exitCode}`;
  if (error instanceof CommandTimeoutError) return 'command timed out';
  if (credentialMethods.has(method) && error instanceof CriError) return withheld;
  return toGrpcStatus(error).message;
}
