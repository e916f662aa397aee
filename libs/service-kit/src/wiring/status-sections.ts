import type { FactoryProvider } from '@nestjs/common';
import { CONTEXT } from '../service-context';
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
  return provider(
    token<StatusSource>('StatusSections'),
    [CONTEXT, ...needs] as const,
    ({ statusPage }, ...values) => {
      const made = source(...(values as Values<D>));
      statusPage.add(made);
      return made;
    },
  );
}
