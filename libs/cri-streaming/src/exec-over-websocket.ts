import type { ExecStreams } from './exec-session';
import type { RequestedStreams } from './types';
import { WebSocketChannels } from './websocket/websocket-channels';
import type { WebSocket } from 'ws';

interface WebSocketExecProtocol {
  readonly version: number;
  readonly isBase64: boolean;
}

/** The protocols of exec and attach over WebSocket, by their names; the last has none. */
export const webSocketExecProtocols: Readonly<Record<string, WebSocketExecProtocol>> = {
  'v5.channel.k8s.io': { version: 5, isBase64: false },
  'v4.channel.k8s.io': { version: 4, isBase64: false },
  'v4.base64.channel.k8s.io': { version: 4, isBase64: true },
  'channel.k8s.io': { version: 1, isBase64: false },
  'base64.channel.k8s.io': { version: 1, isBase64: true },
  '': { version: 1, isBase64: false },
};

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** The channels of a client of exec or attach. */
export function execChannels(
  socket: WebSocket,
  { version, isBase64 }: WebSocketExecProtocol,
  onActivity: () => void,
): WebSocketChannels {
  return new WebSocketChannels(socket, {
    count: Object.keys(channel).length,
    isBase64,
    canEndChannels: version >= 5,
    onActivity,
  });
}

/** The streams in these channels; an empty message says to the client that they are there. */
export function execStreamsIn(
  channels: WebSocketChannels,
  { stdin, stdout, stderr, tty }: RequestedStreams,
  { version }: WebSocketExecProtocol,
): ExecStreams {
  const hasStderr = stderr && !tty;
  if (stdout) channels.send(channel.stdout, Buffer.alloc(0));
  else channels.send(hasStderr ? channel.stderr : channel.error, Buffer.alloc(0));
  return {
    stdin: stdin ? channels.readable(channel.stdin) : undefined,
    stdout: stdout ? channels.writable(channel.stdout) : undefined,
    stderr: hasStderr ? channels.writable(channel.stderr) : undefined,
    resize: tty ? channels.readable(channel.resize) : undefined,
    error: channels.writable(channel.error),
    errorFormat: version >= 4 ? 'json' : 'text',
    gone: channels.gone,
    finish: () => channels.finish(),
  };
}
