import { request } from 'node:http';
import {
  checkReply,
  serviceInfo,
  type CommandDefinition,
  type CommandInput,
  type CommandReply,
  type ServiceInfo,
} from '@stowage/commands';
import { errorMessage } from '@stowage/errors';
import {
  failing,
  readResult,
  requireInput,
  resultOf,
  type Fail,
  type SendOptions,
} from './exchange';

/** Longest reply that is read, bytes. */
const maxReplyBytes = 256 * 1024 * 1024;

/**
 * Sends a command to the service that listens on a command socket of this machine
 * (`commandSocketPath(app)` unless its configuration says otherwise) and resolves with its result.
 * NATS is not involved. Checks and errors are those of `sendCommand`; `node` of the error is the
 * path of the socket. Nothing is sent twice.
 */
export async function sendLocalCommand<C extends CommandDefinition>(
  socketPath: string,
  command: C,
  input: CommandInput<C>,
  options: SendOptions,
): Promise<CommandReply<C>> {
  const fail = failing(command, socketPath);
  options.signal?.throwIfAborted();
  requireInput(command, input, fail);
  const where = { socketPath, app: command.app, path: `/v1/${command.verb}` };
  const data = await exchange({ ...where, body: JSON.stringify(input) }, options, fail);
  return resultOf(command, data, options, fail);
}

/**
 * What the service behind a command socket is: name, version, node, health, and the verbs that it
 * answers. `app` is who should be there, for the words of errors; who answers may be another.
 * Rejects as {@link sendLocalCommand}.
 */
export async function askLocalService(
  socketPath: string,
  app: string,
  options: SendOptions,
): Promise<ServiceInfo> {
  const fail = failing({ app, verb: 'info' }, socketPath);
  options.signal?.throwIfAborted();
  const data = await exchange({ socketPath, app, path: '/v1' }, options, fail);
  const checked = checkReply({ reply: serviceInfo }, readResult(data, fail));
  if ('reply' in checked) return checked.reply;
  throw fail('COMMAND_REPLY_INVALID', `the reply does not fit: ${checked.problem}`);
}

interface LocalRequest {
  readonly socketPath: string;
  readonly app: string;
  readonly path: string;
  /** POST with this; GET when absent. */
  readonly body?: string;
}

function exchange(
  { socketPath, app, path, body }: LocalRequest,
  { timeoutMs, signal, traceparent }: SendOptions,
  fail: Fail,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let isSent = false;
    const over = AbortSignal.timeout(timeoutMs);
    const failed = (error: unknown) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
      } else if (over.aborted) {
        reject(fail('COMMAND_TIMEOUT', `no answer within ${timeoutMs / 1000} s`));
      } else {
        reject(localFailure(error, { socketPath, app, isSent }, fail));
      }
    };
    const outgoing = request(
      {
        socketPath,
        path,
        method: body === undefined ? 'GET' : 'POST',
        agent: false,
        signal: signal === undefined ? over : AbortSignal.any([signal, over]),
        headers: {
          host: 'localhost',
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          ...(traceparent === undefined ? {} : { traceparent }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes <= maxReplyBytes) {
            chunks.push(chunk);
            return;
          }
          reject(fail('COMMAND_REPLY_INVALID', `the reply is longer than ${maxReplyBytes} bytes`));
          outgoing.destroy();
        });
        response.on('error', failed);
        response.on('end', () => resolve(Buffer.concat(chunks)));
      },
    );
    outgoing.on('socket', (socket) => socket.once('connect', () => (isSent = true)));
    outgoing.on('error', failed);
    outgoing.end(body);
  });
}

/** The error of a request to a command socket, in words. */
export function localFailure(
  error: unknown,
  { socketPath, app, isSent }: { socketPath: string; app: string; isSent: boolean },
  fail: Fail,
): Error {
  const { code = '' } = error as NodeJS.ErrnoException;
  const cause = { cause: error };
  if (code.startsWith('HPE_')) {
    const reason = `what listens on ${socketPath} does not answer as a service of Stowage`;
    return fail('COMMAND_REPLY_INVALID', reason, cause);
  }
  if (isSent) {
    const reason = `${app} ended the connection before its answer; the command may have been carried out`;
    return fail('COMMAND_REPLY_LOST', reason, cause);
  }
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR': {
      const reason = `${app} is not running here, or its socket is elsewhere: there is no ${socketPath} (configuration key commandSocket)`;
      return fail('COMMAND_NO_RESPONDERS', reason, cause);
    }
    case 'ECONNREFUSED': {
      const reason = `${app} is not running: nobody listens on ${socketPath}`;
      return fail('COMMAND_NO_RESPONDERS', reason, cause);
    }
    case 'EACCES':
    case 'EPERM': {
      const reason = `only root and the user of ${app} may use ${socketPath}: run this as root`;
      return fail('COMMAND_NOT_PERMITTED', reason, cause);
    }
    case 'EAGAIN':
      return fail('COMMAND_NOT_SENT', `${app} takes no more connections at the moment`, cause);
    case 'ENOTSOCK':
    case 'EPROTOTYPE':
      return fail('COMMAND_NOT_SENT', `${socketPath} is not a socket of ${app}`, cause);
    default:
      return fail('COMMAND_NOT_SENT', errorMessage(error), cause);
  }
}
