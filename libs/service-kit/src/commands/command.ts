import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import type * as z from 'zod';
import type { CommandCall } from './types';

/** Extras that the transport reads from a handler. */
export interface CommandExtras {
  readonly input: z.ZodType;
}

/**
 * Makes a controller's method the handler of a NATS command: `stowage.cmd.<node>.<app>.<verb>`. The method is
 * called with the validated input and the call. Use a strict object, so that unknown keys are an error.
 */
export function Command<I>(verb: string, input: z.ZodType<I>) {
  return <M extends (input: I, call: CommandCall) => unknown>(
    target: object,
    property: string,
    descriptor: TypedPropertyDescriptor<M>,
  ): void => {
    const extras: CommandExtras = { input };
    MessagePattern(verb, extras)(target, property, descriptor);
    Payload()(target, property, 0);
    Ctx()(target, property, 1);
  };
}
