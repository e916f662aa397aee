import * as z from 'zod';

/*
 * Building blocks of the replies. Objects are not loose here: what a service answers beyond its
 * contract is a fault that the compiler and the tests find. A caller passes over unknown fields and
 * keeps them.
 */

/** A count or an amount that cannot be negative. */
export const count = (description: string) => z.int().nonnegative().describe(description);

/** Bytes, never negative. */
export const bytes = count;

/** Bytes that may be negative, for differences. */
export const signedBytes = (description: string) => z.int().describe(description);

/** Milliseconds, with fractions where they are measured. */
export const milliseconds = (description: string) => z.number().describe(description);

/** Integer percentage. */
export const percent = (description: string) => z.int().describe(description);

/** Text of any length. */
export const text = (description: string) => z.string().describe(description);

/** RFC 3339 time with zone. */
export const timestamp = (description: string) =>
  z.iso.datetime({ offset: true }).describe(description);

/** A list of texts. */
export const texts = (description: string) => z.array(z.string()).describe(description);

const knownValues = (known: readonly string[], description: string) =>
  `${description} Known values: ${known.join(', ')}; later versions may add more.`;

/** A known word, or one that a later version adds: callers keep a default branch. */
export type Open<Known extends string> = Known | (string & Record<never, never>);

/**
 * A word from a list that later versions may extend: services answer the known ones, callers accept
 * any.
 */
export function openWord<const Known extends string>(known: readonly Known[], description: string) {
  const schema = z
    .string()
    .meta({ description: knownValues(known, description), examples: [...known] });
  return schema as unknown as z.ZodType<Open<Known>, Known>;
}

/** How many there are of each word. The list of words is as open as in {@link openWord}. */
export function countsOf<const Known extends string>(known: readonly Known[], description: string) {
  const schema = z
    .record(z.string(), z.int().nonnegative())
    .describe(knownValues(known, description));
  return schema as unknown as z.ZodType<Record<string, number>, Partial<Record<Known, number>>>;
}

/** Names of an image as the runtime lists it. */
export const imageNames = {
  imageId: text('Image id as the runtime reports it, usually `sha256:…`.'),
  repoTags: texts('Tags that the runtime lists for it; may be empty.'),
  repoDigests: texts('Digested references that the runtime lists for it; may be empty.'),
};

/** Input of a command that has no keys. */
export const noInput = z.strictObject({});
