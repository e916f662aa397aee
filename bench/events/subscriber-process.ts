// Another service that listens: `subscriber-process.ts NATS_URL`. Prints
// `EVENT SUBJECT MILLISECONDS` for each event as it comes, by the clock that processes share, after
// a first line `listening`.
import { eventFilter, parseEvent } from '@stowage/events';
import { connect } from 'nats';
import { sharedMs } from './measure';

async function main(servers: string): Promise<void> {
  const connection = await connect({ servers });
  connection.subscribe(eventFilter(), {
    callback: (_error, message) => {
      const arrivedMs = sharedMs();
      const { name, subject } = parseEvent(message.data);
      process.stdout.write(`${name} ${subject} ${arrivedMs}\n`);
    },
  });
  await connection.flush();
  process.stdout.write('listening\n');
}

void main(process.argv[2] ?? '');
