declare const provides: unique symbol;

/** The name of a dependency, which the compiler knows the type of. At run time a symbol. */
export type Token<T> = symbol & { readonly [provides]: T };

/**
 * Makes the name of a dependency of type `T`; `name` appears in NestJS's errors and in the log of
 * the stop.
 */
export const token = <T>(name: string): Token<T> => Symbol(name) as Token<T>;

/** The values of a list of tokens, in its order. */
export type Values<D extends readonly Token<unknown>[]> = {
  -readonly [I in keyof D]: D[I] extends Token<infer T> ? T : never;
};
