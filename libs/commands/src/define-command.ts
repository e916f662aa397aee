import type * as z from 'zod';

/**
 * One command: what stands in the catalogue and the reference, and what both ends are checked
 * against.
 */
export interface CommandDefinition<
  Input extends z.ZodType = z.ZodType,
  Reply extends z.ZodType = z.ZodType,
> {
  /** Service that answers it, as in `gc-worker`. */
  readonly app: string;
  /** Last token of its subject, as in `plan`. */
  readonly verb: string;
  /** One sentence: what it does. */
  readonly description: string;
  /** Whether a service answers it unless its key `commands` says otherwise. */
  readonly answered: 'by-default' | 'when-allowed';
  /**
   * Time after which the service answers DEADLINE_EXCEEDED, milliseconds. Absent =
   * {@link defaultLimitMs}; `own` where the work has limits of its own, which no number here could
   * name.
   */
  readonly limitMs?: number | 'own';
  /**
   * Whether a caller on the local socket may have one reply after the other as things change
   * (`POST /v1/<verb>?follow`).
   */
  readonly follows?: true;
  /** Strict, so that a key that does not exist is an error. */
  readonly input: Input;
  /** The result of success. Fields are only added, so a reply of a newer service may hold more. */
  readonly reply: Reply;
  /** A realistic request with its result; both satisfy the schemas. */
  readonly example: { readonly input: z.input<Input>; readonly reply: z.input<Reply> };
}

/** {@link CommandDefinition.limitMs} of a command that names none. */
export const defaultLimitMs = 60_000;

/** Types a definition from its parts; no behaviour. */
export function defineCommand<Input extends z.ZodType, Reply extends z.ZodType>(
  definition: CommandDefinition<Input, Reply>,
): CommandDefinition<Input, Reply> {
  return definition;
}

/** Time limit of the handler, milliseconds; undefined where it has its own. */
export function commandLimitMs({
  limitMs = defaultLimitMs,
}: Pick<CommandDefinition, 'limitMs'>): number | undefined {
  return limitMs === 'own' ? undefined : limitMs;
}

/** What a caller sends. */
export type CommandInput<C extends CommandDefinition> = z.input<C['input']>;

/** What a handler gets: checked, defaults filled in. */
export type CheckedInput<C extends CommandDefinition> = z.output<C['input']>;

/** What a caller gets back: words from open lists may be ones that this version does not know. */
export type CommandReply<C extends Pick<CommandDefinition, 'reply'>> = z.output<C['reply']>;

/** What a handler may return: the fields of the reply and no others, known words only. */
export type CommandAnswer<C extends CommandDefinition> = DeepReadonly<z.input<C['reply']>>;

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;
