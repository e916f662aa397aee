import type { LoggerService } from '@nestjs/common';
import type { Logger } from './log';

/**
 * NestJS's own lines in our log: its chatty start-up at debug, warnings and errors as they are. A
 * start that a stop cuts short is no error.
 */
export function nestLogger(log: Logger, isStopping: () => boolean): LoggerService {
  const context = (rest: unknown[]) => {
    const last = rest.at(-1);
    return typeof last === 'string' ? { nest: last } : {};
  };
  const text = (message: unknown) =>
    message instanceof Error ? message.message : typeof message === 'string' ? message : 'NestJS';
  return {
    log: (message: unknown, ...rest: unknown[]) => log.debug(context(rest), text(message)),
    debug: (message: unknown, ...rest: unknown[]) => log.debug(context(rest), text(message)),
    verbose: (message: unknown, ...rest: unknown[]) => log.trace(context(rest), text(message)),
    warn: (message: unknown, ...rest: unknown[]) => log.warn(context(rest), text(message)),
    error: (message: unknown, ...rest: unknown[]) =>
      log[isStopping() ? 'debug' : 'error'](
        { ...context(rest), err: message instanceof Error ? message : undefined },
        text(message),
      ),
    fatal: (message: unknown, ...rest: unknown[]) => log.fatal(context(rest), text(message)),
  };
}
