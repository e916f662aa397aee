import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../bootstrap.mjs';

/** An event as the subscriber process printed it. */
export interface PrintedEvent {
  readonly name: string;
  readonly app: string;
  readonly sequence: number;
  readonly subject: string;
  readonly data: unknown;
}

/**
 * The process of another platform service: all the demo knows of events are the lines that it
 * prints.
 */
export interface Subscriber {
  /** The first event of this name so far, of those that `matches` takes. */
  first(name: string, matches?: (event: PrintedEvent) => boolean): PrintedEvent | undefined;
  /** How many events of each name were received. */
  counts(): ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

/** Starts examples/event-subscriber as a process of its own. */
export function startSubscriber(
  natsUrl: string,
  onEvent: (event: PrintedEvent) => void,
): Subscriber {
  const example = path.join(root, 'examples', 'event-subscriber', 'main.ts');
  const args = ['--import', 'tsx', example, '--nats', natsUrl, '--durable', 'demo', '--json'];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const events: PrintedEvent[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as PrintedEvent;
    events.push(event);
    onEvent(event);
  });
  return {
    first: (name, matches = () => true) =>
      events.find((event) => event.name === name && matches(event)),
    counts: () => {
      const counts = new Map<string, number>();
      for (const { name } of events) counts.set(name, (counts.get(name) ?? 0) + 1);
      return counts;
    },
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
