import { parseTrace, traceOf } from './trace-context';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';

describe('W3C trace context', () => {
  it.each([
    ['sampled', `00-${traceId}-${spanId}-01`, 1],
    ['not sampled', `00-${traceId}-${spanId}-00`, 0],
    ['with flags that have no meaning yet', `00-${traceId}-${spanId}-ff`, 1],
    ['with spaces around it', ` 00-${traceId}-${spanId}-01 `, 1],
    ['of a later version', `cc-${traceId}-${spanId}-01`, 1],
    ['of a later version that says more', `cc-${traceId}-${spanId}-01-what-the-future-brings`, 1],
  ])('is read: %s', (_what, traceparent, traceFlags) => {
    expect(parseTrace({ traceparent })).toEqual({ traceId, spanId, traceFlags, isRemote: true });
  });

  it.each([
    ['absent', undefined],
    ['empty', ''],
    ['no trace', 'hunter2'],
    ['of version ff', `ff-${traceId}-${spanId}-01`],
    ['of version 00 with more behind it', `00-${traceId}-${spanId}-01-x`],
    ['with a trace id of zeros', `00-${'0'.repeat(32)}-${spanId}-01`],
    ['with a span id of zeros', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['in upper case', `00-${traceId.toUpperCase()}-${spanId}-01`],
    ['too short', `00-${traceId}-${spanId.slice(1)}-01`],
    ['two headers in one', `00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`],
  ])('counts as absent when it is %s', (_what, traceparent) => {
    expect(parseTrace({ traceparent })).toBeUndefined();
  });

  it('keeps the state of vendors, and leaves out what is longer than W3C allows', () => {
    const traceparent = `00-${traceId}-${spanId}-01`;
    const both = { traceparent, tracestate: 'vendor=1,other=2' };
    expect(traceOf(parseTrace(both))).toEqual(both);
    const tracestate = `vendor=${'x'.repeat(600)}`;
    expect(traceOf(parseTrace({ traceparent, tracestate }))).toEqual({ traceparent });
  });

  it('is empty for what stands for no trace', () => {
    expect(traceOf(undefined)).toEqual({});
    expect(traceOf({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 })).toEqual({});
  });
});
