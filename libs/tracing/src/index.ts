export {
  currentTrace,
  inSpan,
  linkTo,
  type SpanAttributes,
  type SpanSettings,
  type WorkSpan,
} from './in-span';
export { parseTrace, traceOf, type TraceContext } from './trace-context';
