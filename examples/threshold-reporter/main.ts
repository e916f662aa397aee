// Reports full disks with what gc-worker would do about them. See README.md.
import { gcWorker } from '@stowage/commands';
import { CommandError, sendCommand } from '@stowage/commands/client';
import { consumeEvents } from '@stowage/events/consumer';
import { connect, credsAuthenticator } from 'nats';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { summarize } from './summarize';

const help = `usage: threshold-reporter [--nats URL[,URL]] [--node NODE] [--durable NAME] [--from all|new] [--post URL]
                          [--creds FILE | --user USER] [--inbox PREFIX]

  --nats     NATS servers (default: STOWAGE_NATS_SERVERS, else nats://127.0.0.1:4222)
  --node     this node only (default: all nodes)
  --durable  name under which JetStream remembers what was reported (default: threshold-reporter)
  --from     where a new name begins: all (what the stream still holds) or new (default: new)
  --post     posts {"text": SUMMARY} there, as chat webhooks take it (default: prints to stdout)
  --creds    NATS credentials file
  --user     NATS user; the password comes from STOWAGE_NATS_PASSWORD
  --inbox    prefix of reply subjects that this login may use
`;

const planTimeoutMs = 10_000;
/** Images of the plan that are asked for: those to be removed stand first. */
const askedImages = 50;
const postTimeoutMs = 10_000;

function options() {
  try {
    const text = { type: 'string' } as const;
    const { values } = parseArgs({
      options: {
        nats: text,
        node: text,
        durable: { ...text, default: 'threshold-reporter' },
        from: { ...text, default: 'new' },
        post: text,
        creds: text,
        user: text,
        inbox: text,
        help: { type: 'boolean', default: false },
      },
    });
    if (values.from !== 'all' && values.from !== 'new') {
      throw new Error(`--from: ${values.from} is not allowed; allowed: all, new`);
    }
    const { post } = values;
    if (post !== undefined && !(URL.canParse(post) && /^https?:$/.test(new URL(post).protocol))) {
      throw new Error('--post: not an http or https URL');
    }
    return { ...values, from: values.from === 'new' ? ('new' as const) : ('all' as const) };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${help}`);
    process.exit(64);
  }
}

async function post(url: string, text: string, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ text }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(postTimeoutMs)]),
  });
  await response.body?.cancel();
  // The URL of a webhook is a secret: it stays out of the message.
  if (!response.ok) throw new Error(`post was answered with ${String(response.status)}`);
}

async function main(): Promise<void> {
  const { nats, node, durable, from, post: url, creds, user, inbox, help: wantsHelp } = options();
  if (wantsHelp) {
    process.stdout.write(help);
    return;
  }
  const stop = new AbortController();
  let connected = false;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      stop.abort();
      if (!connected) process.exit(0);
    });
  }
  const note = (message: string) => process.stderr.write(`${message}\n`);
  const servers = nats ?? process.env.STOWAGE_NATS_SERVERS ?? 'nats://127.0.0.1:4222';
  const connection = await connect({
    servers: servers.split(','),
    name: 'threshold-reporter',
    ...(creds && { authenticator: credsAuthenticator(() => readFileSync(creds)) }),
    ...(user && { user, pass: process.env.STOWAGE_NATS_PASSWORD ?? '' }),
    ...(inbox && { inboxPrefix: inbox }),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    waitOnFirstConnect: true,
  });
  connected = true;
  note('connected');
  const log = (fields: object, message: string) => {
    note(`${message}: ${JSON.stringify(fields)}`);
  };
  await consumeEvents({
    connection,
    durable,
    ...(node === undefined ? {} : { node }),
    names: ['ThresholdExceeded'],
    from,
    retryDelayMs: 5000,
    log: { debug: () => undefined, info: log, warn: log, error: log },
    signal: stop.signal,
    // A post that fails throws: the event comes again and nothing is left unreported.
    handler: async (event, { signal }) => {
      const options = { timeoutMs: planTimeoutMs, signal };
      const input = { limit: askedImages };
      const plan = await sendCommand(connection, event.node, gcWorker.plan, input, options).catch(
        (error: unknown) => {
          if (error instanceof CommandError) return error.reason;
          throw error;
        },
      );
      const summary = summarize(event, plan);
      if (url === undefined) process.stdout.write(`${summary}\n`);
      else await post(url, summary, signal);
    },
  });
  await connection.close();
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
