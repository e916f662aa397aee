import type { CheckedCall, RequestCheck } from '@stowage/cri-endpoint';
import { methodPaths } from '@stowage/cri-proto/paths';
import { PermissionDeniedError } from '@stowage/errors';
import { broadcastsEvents, type RuntimeIdentity } from '../observe/event-stream-mode';
import { readingRequests } from './readonly-requests';

/** What of the calls that only read the configuration allows. */
export interface ReadonlyRules {
  /**
   * Whether status calls may ask for `verbose`. Such answers carry what the runtime likes to add:
   * environment variables of containers and images, its own configuration with the credentials in
   * it.
   */
  readonly verboseAllowed: boolean;
  /** `auto`: where no reader of the runtime's event stream takes events away from another one. */
  readonly events: 'auto' | 'always';
  /** Who the runtime is. */
  identify(options: { signal: AbortSignal }): Promise<RuntimeIdentity>;
}

/** The event stream, in both packages. */
export const eventPaths: ReadonlySet<string> = new Set(
  methodPaths('RuntimeService', 'GetContainerEvents'),
);

/** Longest part of a path that is repeated to the client. */
const maxNamedChars = 200;

/**
 * Whether the read-only socket forwards a call, by its path: throws PermissionDeniedError for calls
 * that change something and for all that are not known. What it returns reads the request, throws
 * PermissionDeniedError or MalformedMessageError, and returns what was understood, encoded anew:
 * what was checked is what the runtime gets.
 */
export function readonlyVerdict(path: string, rules: ReadonlyRules): RequestCheck {
  const read = readingRequests.get(path);
  if (read === undefined) {
    throw new PermissionDeniedError(path.slice(0, maxNamedChars), 'this socket is read-only');
  }
  const asksFirst = rules.events === 'auto' && eventPaths.has(path);
  return (bytes, call) => {
    // Without a field there is nothing to understand, and nothing to write anew.
    if (bytes.length === 0 && !asksFirst) return bytes;
    const request = read(bytes);
    if (request.verbose && !rules.verboseAllowed) {
      throw new PermissionDeniedError(
        `${path} with verbose`,
        'this socket is read-only and readonlyVerbose is off',
      );
    }
    return asksFirst
      ? admitEvents(path, rules, call).then(() => request.encode())
      : request.encode();
  };
}

/** Asked anew for each reader: the runtime may be another one than before. */
async function admitEvents(path: string, rules: ReadonlyRules, call: CheckedCall): Promise<void> {
  const identity = await rules.identify({ signal: call.signal });
  if (broadcastsEvents(identity)) return;
  const { runtimeName, runtimeVersion } = identity;
  throw new PermissionDeniedError(
    path,
    `${runtimeName} ${runtimeVersion} gives each event to one reader only, so that kubelet would miss those that are read here; readonlyEvents: always allows it`,
  );
}
