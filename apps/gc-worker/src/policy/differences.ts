import { differenceValues } from '@stowage/commands';

type Values = typeof differenceValues;

/**
 * Where the worker decides otherwise than kubelet, one setting for each: the options and their
 * values are those of the command `status` ({@link differenceValues}).
 */
export type KubeletDifferences = { readonly [Option in keyof Values]: Values[Option][number] };

const every = (pick: 0 | 1) =>
  Object.fromEntries(
    Object.entries(differenceValues).map(([option, values]) => [option, values[pick]]),
  ) as KubeletDifferences;

/** The defaults. */
export const stowageDifferences = every(0);

/** Every difference at kubelet's value. */
export const kubeletDifferences = every(1);
