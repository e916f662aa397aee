import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { NotFoundError } from '@stowage/errors';
import { currentTrace, describeSpan, inSpan, linkTo } from './in-span';

const parent = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
const soon = () => new Promise((resolve) => setImmediate(resolve));

describe('work in a span', () => {
  describe('without an SDK', () => {
    it('has the trace it came with, in each mode, and none where none came', async () => {
      await inSpan('a', { kind: 'server', parent }, async (span) => {
        expect(span.trace).toEqual(parent);
        span.set({ a: 1 });
        span.failed('UNKNOWN');
        linkTo(parent);
        describeSpan({ a: 1 });
        expect(currentTrace()).toEqual({});
        expect(currentTrace(parent)).toEqual(parent);
        expect(currentTrace({ traceparent: '00-a-b-01' })).toEqual({});
        await inSpan('b', { parent: span.trace }, async (inner) => {
          await soon();
          expect(inner.trace).toEqual(parent);
        });
      });
      expect(await inSpan('c', {}, (span) => Promise.resolve(span.trace))).toEqual({});
    });

    it('throws what the work throws', async () => {
      const error = new Error('x');
      await expect(inSpan('a', {}, () => Promise.reject(error))).rejects.toBe(error);
    });
  });

  describe('with an SDK', () => {
    const exporter = new InMemorySpanExporter();
    const manager = new AsyncLocalStorageContextManager();
    const provider = new BasicTracerProvider({
      spanProcessors: [new SimpleSpanProcessor(exporter)],
    });
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
    const spans = () =>
      exporter.getFinishedSpans().map((span) => ({
        name: span.name,
        kind: span.kind,
        parent: span.parentSpanContext?.spanId,
        id: span.spanContext().spanId,
        traceId: span.spanContext().traceId,
        attributes: span.attributes,
        status: span.status,
        links: span.links.map((link) => link.context.spanId),
      }));

    it('is a child of what is active, across promises and timers, and of the trace that came in', async () => {
      let inner: string | undefined;
      await inSpan('server', { kind: 'server', parent }, async (server) => {
        await soon();
        expect(currentTrace()).toEqual(server.trace);
        expect(currentTrace(parent)).toEqual(server.trace);
        await inSpan('child', { parent: { traceparent: 'ignored' } }, async (span) => {
          await soon();
          inner = span.trace.traceparent;
          span.set({ count: 2, absent: undefined, text: 'x'.repeat(3000) });
          describeSpan({ beside: true });
          span.failed('UNAVAILABLE');
          linkTo(parent);
        });
      });
      const [child, server] = spans();
      expect(server).toMatchObject({
        name: 'server',
        kind: 1,
        traceId: '0af7651916cd43dd8448eb211c80319c',
        parent: 'b7ad6b7169203331',
      });
      expect(child).toMatchObject({
        name: 'child',
        kind: 0,
        traceId: server?.traceId,
        parent: server?.id,
        attributes: { count: 2, text: 'x'.repeat(1024), beside: true },
        links: ['b7ad6b7169203331'],
        status: { code: 2, message: 'UNAVAILABLE' },
      });
      expect(inner).toBe(`00-${child!.traceId}-${child!.id}-01`);
    });

    it('of a server never belongs to a span that happens to be active', async () => {
      await inSpan('outer', {}, () =>
        inSpan('server', { kind: 'server' }, () => Promise.resolve()),
      );
      const [server, outer] = spans();
      expect(server?.parent).toBeUndefined();
      expect(server?.traceId).not.toBe(outer?.traceId);
    });

    it('has the name and code of an error, and nothing of its text', async () => {
      await expect(
        inSpan('a', {}, () => Promise.reject(new NotFoundError('secret', 'hunter2'))),
      ).rejects.toThrow('hunter2');
      await expect(inSpan('b', {}, () => Promise.reject(new Error('hunter2')))).rejects.toThrow();
      const [coded, plain] = spans();
      expect(coded).toMatchObject({
        status: { code: 2, message: 'NOT_FOUND' },
        attributes: { 'error.type': 'NOT_FOUND' },
      });
      expect(plain).toMatchObject({ status: { code: 2, message: 'UNKNOWN' }, attributes: {} });
      expect(JSON.stringify(spans())).not.toContain('hunter2');
    });
  });
});
