// The thread that copies the logs of all containers; in the bundle a file of its own.
import { errorMessage } from '@stowage/errors';
import { parentPort } from 'node:worker_threads';
import { makeCriLog } from './cri-log';
import { LogCopier } from './log-copier';
import type { LogReport, LogRequest, NumberedRequest } from './log-messages';

if (parentPort == null) throw new Error('this is a thread of docker-shim');
const port = parentPort;
const report = (message: LogReport): void => port.postMessage(message);

const copier = new LogCopier({
  positions: (positions) => report({ is: 'positions', positions }),
  numbers: (numbers) => report({ is: 'numbers', numbers }),
  drained: (id) => report({ is: 'drained', id }),
  resumed: (id) => report({ is: 'resumed', id }),
  blocked: (id, side, reason) => report({ is: 'blocked', id, side, reason }),
  unwatched: (reason) => report({ is: 'unwatched', reason }),
});

port.on('message', (request: NumberedRequest) => {
  const { number } = request;
  try {
    handle(request);
    report({ is: 'answer', number });
  } catch (error) {
    report({ is: 'answer', number, failure: errorMessage(error) });
  }
  if (request.do === 'close') port.close();
});

function handle(request: LogRequest): void {
  switch (request.do) {
    case 'prepare':
      makeCriLog(request.logPath);
      break;
    case 'follow':
      copier.follow(request.log, request.kept);
      break;
    case 'ended':
      copier.ended(request.id);
      break;
    case 'reopen':
      copier.reopen(request.id);
      break;
    case 'removed':
      copier.removed(request.id);
      break;
    case 'close':
      copier.close();
      break;
  }
}
