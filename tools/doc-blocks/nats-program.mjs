// As much of the program `nats` as pages use, on the client that this repository has: `request`,
// `stream add` and `consumer add`, with `--server`, `--config`, `--subjects` and `--defaults`.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { connect } from 'nats';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    server: { type: 'string', default: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' },
    config: { type: 'string' },
    subjects: { type: 'string' },
    defaults: { type: 'boolean' },
  },
});

const config = values.config === undefined ? {} : JSON.parse(readFileSync(values.config, 'utf8'));
const [verb, what, ...rest] = positionals;
const connection = await connect({ servers: values.server });
try {
  if (verb === 'request' || verb === 'req') {
    const reply = await connection.request(what, rest[0] ?? '', { timeout: 60_000 });
    process.stdout.write(`${reply.string()}\n`);
  } else if (`${verb} ${what}` === 'stream add') {
    const manager = await connection.jetstreamManager();
    const [name] = rest;
    const subjects = values.subjects === undefined ? {} : { subjects: values.subjects.split(',') };
    await manager.streams.add({ ...config, ...subjects, name });
    process.stdout.write(`Stream ${name} was created\n`);
  } else if (`${verb} ${what}` === 'consumer add') {
    const manager = await connection.jetstreamManager();
    const [stream, name] = rest;
    await manager.consumers.add(stream, config);
    process.stdout.write(`Consumer ${stream} > ${name} was created\n`);
  } else {
    throw new Error(`${positionals.join(' ')} is not known here`);
  }
} catch (error) {
  process.stderr.write(`nats: error: ${error.code === '503' ? 'no responders' : error.message}\n`);
  process.exitCode = 1;
} finally {
  await connection.close();
}
