// The thread that copies the logs of all containers; in the bundle a file of its own.
import { errorMessage } from '@stowage/errors';
import { parentPort } from 'node:worker_threads';
import { makeCriLog } from './cri-log';
import { LogCopier } from './log-copier';
import type { LogReport, LogRequest, NumberedRequest } from './log-messages';

if (parentPort === null) throw new Error('this is a thread of docker-shim');
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
      return makeCriLog(request.logPath);
    case 'follow':
      return copier.follow(request.log, request.kept);
    case 'ended':
      return copier.ended(request.id);
    case 'reopen':
      return copier.reopen(request.id);
    case 'removed':
      return copier.removed(request.id);
    case 'close':
      return copier.close();
  }
}
