import { inSpan } from './in-span';
import type { SpanAttributes, SpanSettings, WorkSpan } from './in-span';
import type { TraceContext } from './trace-context';

/** What the span of a function records. */
export interface TracedCall<Args extends unknown[], Result> {
  readonly kind?: SpanSettings['kind'];
  /** The trace that came with a call, as {@link SpanSettings.parent}. */
  readonly parent?: (...args: Args) => TraceContext | undefined;
  /** Attributes that are known from the arguments. */
  readonly attributes?: (...args: Args) => SpanAttributes;
  /**
   * Records what was returned. Not called when the function throws: the span has the error then.
   */
  readonly returned?: (span: WorkSpan, result: Result) => void;
}

/**
 * The same function with a span of its own around every call (see {@link inSpan}). Annotate the
 * parameters of `fn`: those of `call` follow from them.
 */
export function traced<Args extends unknown[], Result>(
  name: string,
  call: TracedCall<Args, Result>,
  fn: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  const { kind, returned } = call;
  return (...args) => {
    const attributes = call.attributes?.(...args);
    const parent = call.parent?.(...args);
    return inSpan(name, { kind, parent, attributes }, async (span) => {
      const result = await fn(...args);
      returned?.(span, result);
      return result;
    });
  };
}
