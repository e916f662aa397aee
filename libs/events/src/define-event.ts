import type * as z from 'zod';

/** Stowage services that publish events; `any` is for events about publishing itself. */
export type EventPublisher =
  'image-service' | 'gc-worker' | 'runtime-gateway' | 'docker-shim' | 'any';

/** One version of one event: what stands in the catalogue, the reference and the schemas. */
export interface EventDefinition<
  Name extends string = string,
  Schema extends z.ZodObject = z.ZodObject,
> {
  /** Past tense, as in `ImagePulled`. */
  readonly name: Name;
  /**
   * Version of the data schema and of the type name. A change that breaks a consumer is a new
   * version.
   */
  readonly version: 1;
  /** NATS subject token that says what the event is about, as in `image`. */
  readonly entity: string;
  /** NATS subject token that says what happened, as in `pulled`. */
  readonly event: string;
  /** Who publishes it. */
  readonly publishers: readonly EventPublisher[];
  /** One sentence: when it is published. */
  readonly description: string;
  /** What the CloudEvents attribute `subject` contains. */
  readonly subjectHolds: string;
  /** Schema of `data`. */
  readonly data: Schema;
  /** A realistic event; its data satisfies the schema. */
  readonly example: { readonly subject: string; readonly data: z.input<Schema> };
}

/** Types an event definition from its parts; no behaviour. */
export function defineEvent<const Name extends string, Schema extends z.ZodObject>(
  definition: EventDefinition<Name, Schema>,
): EventDefinition<Name, Schema> {
  return definition;
}
