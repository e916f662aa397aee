import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { currentTrace } from './in-span';
import { traced } from './traced';

const parent = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };

describe('a traced function', () => {
  const exporter = new InMemorySpanExporter();
  const manager = new AsyncLocalStorageContextManager();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  beforeAll(() => {
    trace.setGlobalTracerProvider(provider);
    context.setGlobalContextManager(manager.enable());
  });
  beforeEach(() => exporter.reset());
  afterAll(async () => {
    trace.disable();
    context.disable();
    await provider.shutdown();
  });

  it('has a span with what goes in and what comes out, active while it runs', async () => {
    const double = traced(
      'double',
      {
        parent: (_count, options) => options.parent,
        attributes: (count) => ({ count }),
        returned: ({ set, failed }, { doubled }) => {
          set({ doubled });
          if (doubled > 4) failed('OUT_OF_RANGE');
        },
      },
      (count: number, options: { parent?: typeof parent }) =>
        Promise.resolve({ doubled: count * 2, trace: currentTrace(), from: options.parent }),
    );
    const { doubled, trace: inside } = await double(2, { parent });
    expect(doubled).toBe(4);
    await double(3, {});
    const [small, large] = exporter.getFinishedSpans();
    expect(small).toMatchObject({
      name: 'double',
      attributes: { count: 2, doubled: 4 },
      parentSpanContext: { spanId: 'b7ad6b7169203331' },
      status: { code: 0 },
    });
    expect(inside.traceparent).toContain(small?.spanContext().spanId);
    expect(large).toMatchObject({ attributes: { count: 3, doubled: 6 }, status: { code: 2 } });
    expect(large?.parentSpanContext).toBeUndefined();
  });

  it('is a method with its object where it is a field', async () => {
    class Counter {
      private count = 1;
      readonly add = traced('add', {}, (more: number) => Promise.resolve((this.count += more)));
    }
    const { add } = new Counter();
    expect(await add(2)).toBe(3);
  });

  it('throws what it throws, and records nothing as returned', async () => {
    const error = new Error('x');
    const returned = jest.fn();
    const fail = traced('fail', { returned }, () => Promise.reject<number>(error));
    await expect(fail()).rejects.toBe(error);
    expect(returned).not.toHaveBeenCalled();
    expect(exporter.getFinishedSpans()).toMatchObject([{ name: 'fail', status: { code: 2 } }]);
  });
});
