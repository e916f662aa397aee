/* A whole app, as small as they come: the spec of runService starts it as a process. */
import { Controller, Inject, Module } from '@nestjs/common';
import type { DynamicModule, OnApplicationShutdown } from '@nestjs/common';
import { defineCommand } from '@stowage/commands';
import { inSpan } from '@stowage/tracing';
import * as z from 'zod';
import {
  commonKeys,
  defineConfig,
  durationKey,
  Handles,
  integerKey,
  runService,
  stringKey,
} from '../src/index';
import type { ServiceContext } from '../src/index';

const config = defineConfig({
  app: 'tiny-app',
  summary: 'Answers with what it was told.',
  keys: {
    ...commonKeys({ httpAddr: '127.0.0.1:0', commands: ['echo'], allCommands: ['echo', 'erase'] }),
    behaviour: stringKey({ default: '', meaning: 'Fault to play.' }),
    token: stringKey({ default: '', meaning: 'A secret.', secret: true }),
    limit: integerKey({
      default: 3,
      min: 1,
      max: 9,
      meaning: 'A limit.',
      kubelet: { key: 'maxParallelImagePulls', kind: 'number' },
    }),
    ageMs: durationKey({
      default: 120_000,
      minMs: 0,
      maxMs: 3_600_000,
      meaning: 'An age.',
      kubelet: { key: 'imageMinimumGCAge', kind: 'string', zeroIsUnset: true },
    }),
  },
});

const echo = defineCommand({
  app: 'tiny-app',
  verb: 'echo',
  description: 'Returns the text.',
  answered: 'by-default',
  input: z.strictObject({ text: z.string() }),
  reply: z.object({ text: z.string() }),
  example: { input: { text: 'hi' }, reply: { text: 'hi' } },
});
const erase = defineCommand({
  app: 'tiny-app',
  verb: 'erase',
  description: 'Does nothing.',
  answered: 'when-allowed',
  input: z.strictObject({}),
  reply: z.null(),
  example: { input: {}, reply: null },
});

const CONTEXT = Symbol('context');

@Controller()
class Echo implements OnApplicationShutdown {
  constructor(@Inject(CONTEXT) private readonly context: ServiceContext<{ behaviour: string }>) {}

  @Handles(echo)
  echo(input: { text: string }) {
    return { text: input.text };
  }

  @Handles(erase)
  erase() {
    return null;
  }

  async onApplicationShutdown() {
    this.context.log.info({ aborted: this.context.signal.aborted }, 'hook ran');
    if (this.context.config.behaviour === 'hang') await new Promise(() => undefined);
    if (this.context.config.behaviour === 'stop-fault') throw new Error('socket still in use');
  }
}

@Module({})
class TinyModule {}

void runService({
  config,
  module: async (context): Promise<DynamicModule> => {
    const { behaviour } = context.config;
    if (behaviour === 'start-fault') throw new Error('cannot listen on /run/x.sock:\n in use');
    if (behaviour === 'rejection') {
      setTimeout(() => void Promise.reject(new Error('nobody waits')), 10);
    }
    if (behaviour.startsWith('spans ')) {
      const names = Array.from({ length: Number(behaviour.slice(6)) }, (_, at) => `work ${at}`);
      await Promise.all(names.map((name) => inSpan(name, {}, () => Promise.resolve())));
    }
    if (behaviour === 'down') {
      context.health.report('runtime', { state: 'down', reason: 'connect ENOENT /run/c.sock' });
    }
    context.log.info({ password: context.config.token, nested: { auth: 'x' } }, 'starting');
    return {
      module: TinyModule,
      controllers: [Echo],
      providers: [{ provide: CONTEXT, useValue: context }],
    };
  },
});
