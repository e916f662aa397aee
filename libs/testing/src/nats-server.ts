import net from 'node:net';
import path from 'node:path';
import { ServerProcess } from './server-process';
import type { NatsServer } from './types';

/** nats-server with JetStream on a loopback port. */
export class NatsServerProcess extends ServerProcess implements NatsServer {
  readonly url: string;

  constructor(
    readonly port: number,
    { dir, env }: { dir: string; env: Readonly<Record<string, string>> },
  ) {
    super({
      name: 'nats-server',
      command: 'nats-server',
      args: ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', path.join(dir, 'nats')],
      env,
      logFile: path.join(dir, 'logs', 'nats-server.log'),
      isReady: () => answersWithJetStream(port),
    });
    this.url = `nats://127.0.0.1:${port}`;
  }
}

/** A NATS server greets each connection with a line about its features. */
function answersWithJetStream(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let greeting = '';
    const socket = net.connect(port, '127.0.0.1');
    socket.setEncoding('utf8').on('data', (text: string) => {
      greeting += text;
      if (greeting.includes('\r\n')) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(/^INFO .*"jetstream":\s*true/.test(greeting)));
  });
}
