import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { PATTERN_EXTRAS_METADATA, PATTERN_METADATA } from '@nestjs/microservices/constants';
import * as z from 'zod';
import type { CommandCall } from './types';

/** What a command is, beside its input; shown in the reference of commands. */
export interface CommandOptions {
  /** What it does, one sentence. */
  readonly does: string;
  /** The fields of its result, in words or as `{a, b}`. */
  readonly answers: string;
  /**
   * A handler that takes longer is answered for with DEADLINE_EXCEEDED, and its signal aborts, milliseconds. Default
   * 60 000; `own` where the handler bounds its work itself.
   */
  readonly timeoutMs?: number | 'own';
}

/** Extras that the transport reads from a handler. */
export interface CommandExtras {
  readonly input: z.ZodType;
  readonly options?: CommandOptions;
}

const defaultTimeoutMs = 60_000;

/** Time limit of a handler, milliseconds; undefined where it has its own. */
export function commandTimeoutMs({ options }: CommandExtras): number | undefined {
  const timeoutMs = options?.timeoutMs ?? defaultTimeoutMs;
  return timeoutMs === 'own' ? undefined : timeoutMs;
}

/**
 * Makes a controller's method the handler of a NATS command: `stowage.cmd.<node>.<app>.<verb>`. The method is
 * called with the validated input and the call. Use a strict object, so that unknown keys are an error.
 */
export function Command<I>(verb: string, input: z.ZodType<I>, options?: CommandOptions) {
  return <M extends (input: I, call: CommandCall) => unknown>(
    target: object,
    property: string,
    descriptor: TypedPropertyDescriptor<M>,
  ): void => {
    const extras: CommandExtras = { input, ...(options && { options }) };
    MessagePattern(verb, extras)(target, property, descriptor);
    Payload()(target, property, 0);
    Ctx()(target, property, 1);
  };
}

/** One field of a command's request. */
export interface CommandField {
  /** Path from the top, as in `auth.username`. */
  readonly name: string;
  readonly type: string;
  readonly isRequired: boolean;
  /** From `.describe()` of its schema; empty when it has none. */
  readonly meaning: string;
}

/** A command as the reference shows it. */
export interface DescribedCommand extends Partial<CommandOptions> {
  readonly verb: string;
  readonly fields: readonly CommandField[];
  /** Absent: the handler bounds its work itself. */
  readonly limitMs?: number;
}

/** The commands of a controller, in the order of its methods. */
export function describeCommands(controller: { prototype: object }): DescribedCommand[] {
  const methods = Object.getOwnPropertyDescriptors(controller.prototype);
  return Object.values(methods).flatMap(({ value }: { value?: unknown }) => {
    if (typeof value !== 'function') return [];
    const [verb] = (Reflect.getMetadata(PATTERN_METADATA, value) ?? []) as string[];
    if (verb === undefined) return [];
    const extras = Reflect.getMetadata(PATTERN_EXTRAS_METADATA, value) as CommandExtras;
    const limitMs = commandTimeoutMs(extras);
    return [
      {
        verb,
        ...extras.options,
        fields: fieldsOf(z.toJSONSchema(extras.input, { io: 'input' }) as JsonSchema),
        ...(limitMs === undefined ? {} : { limitMs }),
      },
    ];
  });
}

interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

function fieldsOf({ properties = {}, required = [] }: JsonSchema, prefix = ''): CommandField[] {
  return Object.entries(properties).flatMap(([key, schema]) => {
    const name = `${prefix}${key}`;
    const field = {
      name,
      type: typeText(schema),
      isRequired: required.includes(key),
      meaning: schema.description ?? '',
    };
    return [field, ...fieldsOf(schema, `${name}.`)];
  });
}

function typeText(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map(String).join(', ');
  const { type = 'any', items } = schema;
  const what = type === 'array' && items !== undefined ? `array of ${items.type ?? 'any'}` : type;
  const bounds = [
    range(schema.minimum ?? above(schema.exclusiveMinimum), schema.maximum, ''),
    range(schema.minLength, schema.maxLength, ' characters'),
    range(schema.minItems, schema.maxItems, ' entries'),
    schema.default === undefined ? '' : `default ${JSON.stringify(schema.default)}`,
  ].filter((text) => text !== '');
  return [what, ...bounds].join(', ');
}

const above = (bound: number | undefined) => (bound === undefined ? undefined : bound + 1);

function range(min: number | undefined, max: number | undefined, unit: string): string {
  const isOpen = max === undefined || max === Number.MAX_SAFE_INTEGER;
  const from = min === undefined || min === Number.MIN_SAFE_INTEGER ? undefined : min;
  if (isOpen) return from === undefined ? '' : `${String(from)} or more${unit}`;
  return from === undefined
    ? `at most ${String(max)}${unit}`
    : `${String(from)} to ${String(max)}${unit}`;
}
