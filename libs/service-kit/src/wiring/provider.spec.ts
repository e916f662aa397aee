import 'reflect-metadata';
import { Module, type FactoryProvider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { provider, STOP_LIST } from './provider';
import { StopList } from './stop-list';
import { Injects } from './injects';
import { token, type Token } from './token';

const COUNT = token<number>('Count');
const TEXT = token<string>('Text');
const LABEL = token<{ text: string }>('Label');

/** What the providers make, by NestJS, and the list of what ends. */
async function make(providers: FactoryProvider[]) {
  const lines: [object, string][] = [];
  const stopList = new StopList({ error: (fields, message) => void lines.push([fields, message]) });
  @Module({})
  class Root {}
  const root = {
    module: Root,
    providers: [{ provide: STOP_LIST, useValue: stopList }, ...providers],
  };
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- NestJS declares its options as a class
  const app = await NestFactory.createApplicationContext(root, { logger: false });
  return { app, stopList, lines };
}

/** Says what was done with a part, in order. */
const recorded = (done: string[], of: Token<string>, needs: Token<unknown>[] = []) =>
  provider(of, needs, () => of.description ?? '', {
    drain: (name, { drainMs }) => void done.push(`${name} drained in ${drainMs}`),
    handOver: (name) => void done.push(`${name} handed over`),
    close: (name) => void done.push(`${name} closed`),
  });

describe('a provider', () => {
  it('gets the values of its tokens, and nothing of what is only made before it', async () => {
    const made: string[] = [];
    const { app } = await make([
      provider(
        LABEL,
        [TEXT, COUNT],
        (...values) => {
          made.push('label');
          return { text: values.join() };
        },
        { after: [FIRST] },
      ),
      provider(TEXT, [], () => Promise.resolve('n')),
      provider(COUNT, [], () => 3),
      provider(FIRST, [TEXT], () => {
        made.push('first');
        return 'first';
      }),
    ]);
    expect(app.get<object>(LABEL)).toEqual({ text: 'n,3' });
    expect(made).toEqual(['first', 'label']);
  });

  it('is checked by the compiler: what it needs, what it makes, where it goes', () => {
    const label = (count: number, text: string) => ({ text: text.repeat(count) });
    provider(LABEL, [COUNT, TEXT], label);
    // @ts-expect-error -- two needs are swapped
    provider(LABEL, [TEXT, COUNT], label);
    // @ts-expect-error -- one is missing
    provider(LABEL, [COUNT], label);
    // @ts-expect-error -- something else is made
    provider(LABEL, [COUNT], (count) => count);
    // @ts-expect-error -- what ends is a number, and no text
    provider(COUNT, [], () => 1, { close: (text: string) => expect(text).toBe('') });
    class Controller {
      constructor(
        @Injects(COUNT) readonly count: number,
        @Injects(TEXT) readonly text: string | undefined,
      ) {}
    }
    class Swapped {
      constructor(
        // @ts-expect-error -- a text for a number
        @Injects(TEXT) readonly count: number,
        // @ts-expect-error -- a number for a text
        @Injects(COUNT) readonly text: string,
      ) {}
    }
    expect([Controller, Swapped]).toHaveLength(2);
  });
});

const FIRST = token<string>('first');
const SECOND = token<string>('second');

describe('the end of what providers made', () => {
  it('comes for what was made last first; calls end for all at once', async () => {
    const done: string[] = [];
    const { stopList } = await make([
      recorded(done, SECOND, [FIRST]),
      recorded(done, FIRST),
      provider(COUNT, [], () => 1),
    ]);
    await stopList.drain({ drainMs: 7 });
    await stopList.handOver();
    expect(await stopList.close()).toBe(true);
    expect(done).toEqual([
      'first drained in 7',
      'second drained in 7',
      'second handed over',
      'first handed over',
      'second closed',
      'first closed',
    ]);
  });

  it('waits for one before the next, and says which one that is', async () => {
    let end: () => void = () => undefined;
    const done: string[] = [];
    const { stopList } = await make([
      recorded(done, FIRST),
      provider(SECOND, [FIRST], () => '', {
        close: () => new Promise<void>((resolve) => (end = resolve)),
      }),
    ]);
    const closed = stopList.close();
    await new Promise(setImmediate);
    expect([stopList.ending, done]).toEqual([['second'], []]);
    end();
    expect(await closed).toBe(true);
    expect([stopList.ending, done]).toEqual([[], ['first closed']]);
  });

  it('goes on where one fails, which is logged', async () => {
    const done: string[] = [];
    const fails = (what: string) => () => Promise.reject(new Error(what));
    const { stopList, lines } = await make([
      recorded(done, FIRST),
      provider(SECOND, [FIRST], () => '', {
        drain: fails('no drain'),
        handOver: fails('no hand-over'),
        close: fails('no close'),
      }),
    ]);
    await stopList.drain({ drainMs: 9 });
    await stopList.drain({ drainMs: 1 });
    await stopList.handOver();
    expect(await stopList.close()).toBe(false);
    expect(done).toEqual([
      'first drained in 9',
      'first drained in 1',
      'first handed over',
      'first closed',
    ]);
    expect(lines.map(([fields, text]) => [(fields as { part: string }).part, text])).toEqual([
      ['second', 'ending its calls failed: no drain'],
      ['second', 'handing over failed: no hand-over'],
      ['second', 'stop failed: no close'],
    ]);
  });

  it('comes once for each part', async () => {
    const done: string[] = [];
    const { stopList } = await make([recorded(done, FIRST)]);
    await Promise.all([stopList.close(), stopList.close()]);
    expect(done).toEqual(['first closed']);
  });
});
