import pino from 'pino';
import { errorMessage, toGrpcStatus } from '@stowage/errors';

/** Fields beside the message of a log line. An error goes under `err`. */
export type LogFields = object;

type LogLine = (fieldsOrMessage: LogFields | string, message?: string) => void;

/**
 * JSON lines on stdout. Values under keys that name a secret are replaced, however deep they stand.
 */
export interface Logger {
  readonly level: string;
  readonly trace: LogLine;
  readonly debug: LogLine;
  readonly info: LogLine;
  readonly warn: LogLine;
  readonly error: LogLine;
  readonly fatal: LogLine;
  /** The same log with `fields` on every line. */
  child(fields: LogFields): Logger;
}

/** Levels of the configuration, least severe first. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Where lines go; process.stdout by default. */
export interface LogDestination {
  write(line: string): void;
}

/** Keys whose values are never logged, compared without case, `_` and `-`. */
const secretKeys = new Set([
  'auth',
  'auths',
  'authorization',
  'clientsecret',
  'identitytoken',
  'nkey',
  'password',
  'registrytoken',
  'secret',
  'seed',
  'serviceaccounttoken',
  'token',
]);

const maxDepth = 8;

/**
 * True for keys such as `password` or `identity_token`, whose values must not leave the process.
 */
export function isSecretKey(key: string): boolean {
  return secretKeys.has(key.replaceAll(/[_-]/g, '').toLowerCase());
}

/**
 * A copy of `value` without secrets: values of secret keys become `[redacted]`. Errors become plain
 * fields.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value == null || value instanceof Date) return value;
  if (value instanceof Error) return describeError(value);
  if (depth >= maxDepth) return '[too deep]';
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      isSecretKey(key) && item !== undefined && item !== ''
        ? '[redacted]'
        : redact(item, depth + 1),
    ]),
  );
}

/**
 * What a log line says about an error. Only named fields: others could hold anything, a request for
 * one.
 */
function describeError(error: Error, depth = 0): object {
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: errorMessage(error),
    code: typeof code === 'string' || typeof code === 'number' ? code : undefined,
    grpcStatus: toGrpcStatus(error).name,
    stack: error.stack,
    cause:
      error.cause instanceof Error && depth < 3 ? describeError(error.cause, depth + 1) : undefined,
  };
}

/**
 * A logger with `bindings` (app, node) on every line. Lines are written at once, so none is lost at
 * exit.
 */
export function createLogger(options: {
  level: LogLevel;
  bindings: LogFields;
  destination?: LogDestination;
}): Logger {
  return pino(
    {
      level: options.level,
      base: options.bindings,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redact(fields) as Record<string, unknown>,
      },
      serializers: { err: (value: unknown) => value },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  );
}
