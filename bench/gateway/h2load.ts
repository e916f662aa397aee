import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** What one run of h2load measured. */
export interface LoadResult {
  readonly callsPerSecond: number;
  readonly meanMs: number;
  /** Calls that were answered with HTTP status 2xx. */
  readonly succeeded: number;
  /** Every other call: refused, reset, timed out or answered with another status. */
  readonly lost: number;
}

/** One run of h2load. */
export interface Load {
  readonly socket: string;
  /** gRPC method path. */
  readonly method: string;
  /** File with the request, gRPC prefix included. */
  readonly requestFile: string;
  readonly calls: number;
  /** Connections, each with one call at a time. */
  readonly callers: number;
}

const run = promisify(execFile);

/** Sends `calls` calls over unix sockets and waits for all answers. */
export async function h2load(load: Load): Promise<LoadResult> {
  const { stdout } = await run('h2load', [
    ...['-n', String(load.calls), '-c', String(load.callers), '-m', '1', '-t', '1'],
    ...['-d', load.requestFile, '-H', 'te: trailers', '-H', 'content-type: application/grpc'],
    `--base-uri=unix:${load.socket}`,
    `http://localhost${load.method}`,
  ]);
  const [, perSecond] = match(stdout, /finished in [^,]+, ([\d.]+) req\/s/);
  const [, succeeded] = match(stdout, /requests: .* (\d+) succeeded/);
  const [, mean, unit] = match(stdout, /time for request: +\S+ +\S+ +([\d.]+)(us|ms|s)\b/);
  return {
    callsPerSecond: Number(perSecond),
    meanMs: Number(mean) * unitMs(unit),
    succeeded: Number(succeeded),
    lost: load.calls - Number(succeeded),
  };
}

function match(output: string, pattern: RegExp): RegExpExecArray {
  const found = pattern.exec(output);
  if (found == null) throw new Error(`h2load said nothing like ${String(pattern)}:\n${output}`);
  return found;
}

function unitMs(unit = ''): number {
  switch (unit) {
    case 'us':
      return 1e-3;
    case 'ms':
      return 1;
    default:
      return 1_000;
  }
}
