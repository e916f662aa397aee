import type { FactoryProvider } from '@nestjs/common';
import type { StopList } from './stop-list';
import { token, type Token, type Values } from './token';

/** The parts of the running service that end with it; given by {@link runService} to every module. */
export const STOP_LIST = token<StopList>('StopList');

/** Beside what a provider needs: what must be made before it, and how it ends. */
export interface ProviderOptions<T> {
  /** Made before this one, though nothing of it is used. */
  readonly after?: readonly Token<unknown>[];
  /**
   * Ends the calls that this one serves: no new ones, and `drainMs` (milliseconds) for those in flight. Called for all parts
   * at once when the stop or a take-over begins, again when the stop goes on, and with less time when a stop comes in the
   * middle of a take-over: the shortest time counts.
   */
  readonly drain?: (value: T, options: { drainMs: number }) => void | Promise<void>;
  /** Gives up at once what an instance that takes over waits for. {@link ProviderOptions.close} is called later all the same. */
  readonly handOver?: (value: T) => void | Promise<void>;
  /** Ends it. Called once, when every `drain` is over, and before what it was made from ends. */
  readonly close?: (value: T) => void | Promise<void>;
}

/**
 * A NestJS provider whose factory gets the values of `needs`, in that order and of their types. Parts end in the reverse
 * order of their making, each whatever becomes of the others.
 */
export function provider<T, const D extends readonly Token<unknown>[]>(
  provided: Token<T>,
  needs: D,
  make: (...values: Values<D>) => NoInfer<T> | Promise<NoInfer<T>>,
  { after = [], drain, handOver, close }: ProviderOptions<NoInfer<T>> = {},
): FactoryProvider<T> {
  return {
    provide: provided,
    inject: [STOP_LIST, ...needs, ...after],
    useFactory: async (stopList: StopList, ...values: unknown[]) => {
      const value = await make(...(values.slice(0, needs.length) as Values<D>));
      stopList.add({
        name: provided.description ?? '',
        drain: drain && ((options) => drain(value, options)),
        handOver: handOver && (() => handOver(value)),
        close: close && (() => close(value)),
      });
      return value;
    },
  };
}
