import type { FactoryProvider } from '@nestjs/common';
import { CONTEXT, type ServiceContext } from '../service-context';
import type { StatusSource } from '../status-page/types';
import { provider } from './provider';
import { token, type Token, type Values } from './token';

/**
 * A provider of what a service adds to its status page: `source` is made of the values of `needs`,
 * in that order and of their types.
 */
export function statusSections<const D extends readonly Token<unknown>[]>(
  needs: D,
  source: (...values: Values<D>) => StatusSource,
): FactoryProvider<StatusSource> {
  const all: readonly Token<unknown>[] = [CONTEXT, ...needs];
  return provider(token<StatusSource>('StatusSections'), all, (context, ...values) => {
    const { statusPage } = context as ServiceContext<unknown>;
    const made = source(...(values as unknown as Values<D>));
    statusPage.add(made);
    return made;
  });
}
