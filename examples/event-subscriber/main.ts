// Prints the events of the Stowage services on the nodes, one line each. See README.md.
import { connect, credsAuthenticator } from 'nats';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { describeEvent } from './describe-event';
import { readEvents } from './read-events';

const help = `usage: event-subscriber [--nats URL[,URL]] [--node NODE] [--durable NAME] [--from all|new] [--json]
                        [--creds FILE | --user USER] [--inbox PREFIX] [--api PREFIX]

  --nats     NATS servers (default: STOWAGE_NATS_SERVERS, else nats://127.0.0.1:4222)
  --node     events of this node only (default: all nodes)
  --durable  name under which JetStream remembers how far was read; without it each run stands alone
  --from     where a new consumer begins: all (what the stream still holds) or new (default: all)
  --json     one JSON object a line instead of a sentence
  --creds    NATS credentials file
  --user     NATS user; the password is taken from STOWAGE_NATS_PASSWORD
  --inbox    prefix of reply subjects, where permissions give each user its own (default: _INBOX)
  --api      prefix of the JetStream API, where it belongs to another account (default: $JS.API)
`;

function options() {
  try {
    const { values } = parseArgs({
      options: {
        nats: { type: 'string' },
        node: { type: 'string' },
        durable: { type: 'string' },
        from: { type: 'string', default: 'all' },
        json: { type: 'boolean', default: false },
        creds: { type: 'string' },
        user: { type: 'string' },
        inbox: { type: 'string' },
        api: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.from !== 'all' && values.from !== 'new') {
      throw new Error(`--from: ${values.from} is not allowed; allowed: all, new`);
    }
    return { ...values, from: values.from === 'new' ? ('new' as const) : ('all' as const) };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${help}`);
    process.exit(64);
  }
}

async function main(): Promise<void> {
  const { nats, node, durable, from, json, creds, user, inbox, api, help: wantsHelp } = options();
  if (wantsHelp) {
    process.stdout.write(help);
    return;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      stop.abort();
      // Ends the wait for the first connection too; a second signal ends the process as usual.
      if (!connected) process.exit(0);
    });
  }
  let connected = false;
  const servers = nats ?? process.env.STOWAGE_NATS_SERVERS ?? 'nats://127.0.0.1:4222';
  // What stands before the last @ may be a password.
  process.stderr.write(`waiting for NATS at ${servers.slice(servers.lastIndexOf('@') + 1)}\n`);
  const connection = await connect({
    servers: servers.split(','),
    name: 'event-subscriber',
    ...(creds && { authenticator: credsAuthenticator(() => readFileSync(creds)) }),
    ...(user && { user, pass: process.env.STOWAGE_NATS_PASSWORD ?? '' }),
    ...(inbox && { inboxPrefix: inbox }),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    waitOnFirstConnect: true,
  });
  connected = true;
  process.stderr.write('connected\n');
  await readEvents({
    connection,
    ...(api && { apiPrefix: api }),
    ...(durable === undefined ? {} : { durable }),
    ...(node === undefined ? {} : { node }),
    from,
    signal: stop.signal,
    handle: (event) => {
      const { time, node: on, app, sequence, name } = event;
      const line = json
        ? JSON.stringify(event)
        : `${time.toISOString()} ${on} ${app} #${String(sequence)} ${name}: ${describeEvent(event)}`;
      process.stdout.write(`${line}\n`);
    },
    skipped: (reason) => process.stderr.write(`skipped: ${reason}\n`),
    waiting: (reason) => process.stderr.write(`waiting: ${reason}\n`),
  });
  await connection.close();
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
