export {
  currentTrace,
  describeSpan,
  inSpan,
  linkTo,
  type SpanAttributes,
  type SpanSettings,
  type WorkSpan,
} from './in-span';
export { traced, type TracedCall } from './traced';
export { parseTrace, traceOf, type TraceContext } from './trace-context';
