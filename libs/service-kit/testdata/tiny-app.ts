/* A whole app, as small as they come: the spec of runService starts it as a process. */
import { Controller, Module, type OnApplicationShutdown } from '@nestjs/common';
import { defineCommand } from '@stowage/commands';
import { inSpan } from '@stowage/tracing';
import * as z from 'zod';
import {
  commonKeys,
  contextToken,
  defineConfig,
  durationKey,
  Handles,
  Injects,
  integerKey,
  provider,
  runService,
  stringKey,
  takeOverKeys,
  token,
  type ConfigOf,
  type ServiceContext,
} from '../src/index';

const config = defineConfig({
  app: 'tiny-app',
  summary: 'Answers with what it was told.',
  keys: {
    ...commonKeys({ httpAddr: '127.0.0.1:0', commands: ['echo'], allCommands: ['echo', 'erase'] }),
    ...takeOverKeys(),
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

type Context = ServiceContext<ConfigOf<typeof config.keys>>;
const CONTEXT = contextToken<ConfigOf<typeof config.keys>>();
const BASE = token<Part>('base');
const DOOR = token<Part>('door');

/** Logs what is done with it, and fails at it where that is asked for. */
class Part {
  constructor(
    private readonly context: Context,
    private readonly name: string,
  ) {}

  async does(what: string, fields: object = {}) {
    const { log, config } = this.context;
    log.info({ part: this.name, ...fields }, what);
    if (config.behaviour === `${this.name} hangs`) await new Promise(() => undefined);
    if (config.behaviour === `${this.name} fails`) throw new Error('no way');
  }
}

const part = (of: typeof BASE, after: (typeof BASE)[]) =>
  provider(of, [CONTEXT], (context) => makePart(context, of.description ?? ''), {
    after,
    drain: (made, { drainMs }) => made.does('calls end', { drainMs }),
    handOver: (made) => made.does('hand-over'),
    close: (made) => made.does('close'),
  });

function makePart(context: Context, name: string): Part {
  if (context.config.behaviour === `lost before ${name}`) {
    context.takeOver.lost('/run/x.sock');
    context.signal.throwIfAborted();
  }
  return new Part(context, name);
}

@Controller()
class Echo implements OnApplicationShutdown {
  constructor(@Injects(CONTEXT) private readonly context: ServiceContext<{ behaviour: string }>) {}

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

@Module({ controllers: [Echo], providers: [part(DOOR, [BASE]), part(BASE, [])] })
class TinyModule {}

void runService({
  config,
  module: async (context) => {
    const { behaviour } = context.config;
    if (behaviour === 'start-fault') throw new Error('cannot listen on /run/x.sock:\n in use');
    if (behaviour === 'hup') process.kill(process.pid, 'SIGHUP');
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
    if (behaviour === 'lost') setTimeout(() => context.takeOver.lost('/run/x.sock'), 1000);
    return TinyModule;
  },
});
