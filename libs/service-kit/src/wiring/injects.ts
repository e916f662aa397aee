import { Inject } from '@nestjs/common';
import type { Token } from './token';

/** What the compiler says where a parameter does not take the value of its token. */
interface DoesNotTake<Parameter, Value> {
  readonly 'the parameter does not take the value of its token': [Parameter, Value];
}

/**
 * NestJS's `Inject` for the constructors of controllers, checked: the parameter must take what the
 * token names.
 */
export function Injects<T>(
  of: Token<T>,
): <C extends abstract new (...values: never) => unknown, I extends number>(
  target: C &
    (C extends abstract new (...values: infer P) => unknown
      ? [T] extends [P[I]]
        ? unknown
        : DoesNotTake<P[I], T>
      : never),
  key: undefined,
  index: I,
) => void {
  return Inject(of);
}
