import type http2 from 'node:http2';
import { PassThrough } from 'node:stream';
import { dropListeners } from './drop-listeners';

it('a stream holds nothing of its call any more, and an error that comes late is nobody’s', () => {
  const stream = new PassThrough();
  const listener = jest.fn();
  for (const event of ['data', 'end', 'close', 'newListener', 'removeListener']) {
    stream.on(event, listener);
  }
  listener.mockClear();

  dropListeners(stream as unknown as http2.Http2Stream);
  stream.emit('data', 'x');
  stream.emit('close');
  stream.emit('error', new Error('late'));

  expect(stream.eventNames()).toEqual(['error']);
  expect(listener).not.toHaveBeenCalled();
});
