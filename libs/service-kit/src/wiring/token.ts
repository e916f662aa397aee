import { Inject } from '@nestjs/common';

declare const provides: unique symbol;

/** The name of a dependency, which the compiler knows the type of. At run time a symbol. */
export type Token<T> = symbol & { readonly [provides]: T };

/** Makes the name of a dependency of type `T`; `name` appears in NestJS's errors and in the log of the stop. */
export const token = <T>(name: string): Token<T> => Symbol(name) as Token<T>;

/** The values of a list of tokens, in its order. */
export type Values<D extends readonly Token<unknown>[]> = {
  -readonly [I in keyof D]: D[I] extends Token<infer T> ? T : never;
};

/** What the compiler says where a parameter does not take the value of its token. */
interface DoesNotTake<Parameter, Value> {
  readonly 'the parameter does not take the value of its token': [Parameter, Value];
}

/**
 * NestJS's `Inject` for the constructors of controllers, checked: the parameter must take what the token names.
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
