import http2 from 'node:http2';
import { encodeGrpcMessage } from '../grpc-wire';
import { frameFlag, frameHeaderBytes, frameType } from './frame-reader';

/**
 * Longest status text put on the wire, in bytes before escaping; keeps the frame within what every
 * peer takes.
 */
const maxMessageBytes = 2_048;

/** Highest stream id; as last stream of a GOAWAY it means that no stream is refused. */
export const maxStreamId = 0x7fffffff;
/** Largest window of flow control, in bytes. */
export const maxWindow = 0x7fffffff;

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  out.writeUIntBE(payload.length, 0, 3);
  out[3] = type;
  out[4] = flags;
  out.writeUInt32BE(streamId, 5);
  out.set(payload, frameHeaderBytes);
  return out;
}

const uint32s = (...values: number[]): Buffer => {
  const out = Buffer.allocUnsafe(values.length * 4);
  values.forEach((value, i) => out.writeUInt32BE(value, i * 4));
  return out;
};

/** SETTINGS; every value that is not given is at its default. */
export function settingsFrame({
  maxConcurrentStreams,
}: { maxConcurrentStreams?: number } = {}): Buffer {
  const payload = Buffer.alloc(maxConcurrentStreams === undefined ? 0 : 6);
  if (maxConcurrentStreams !== undefined) {
    payload.writeUInt16BE(http2.constants.NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
    payload.writeUInt32BE(maxConcurrentStreams, 2);
  }
  return frame(frameType.settings, 0, 0, payload);
}

export const settingsAckFrame = (): Buffer =>
  frame(frameType.settings, frameFlag.ack, 0, Buffer.alloc(0));

export const pingAckFrame = (payload: Uint8Array): Buffer =>
  frame(frameType.ping, frameFlag.ack, 0, payload);

export const windowUpdateFrame = (streamId: number, bytes: number): Buffer =>
  frame(frameType.windowUpdate, 0, streamId, uint32s(bytes));

export const rstStreamFrame = (streamId: number, code: number): Buffer =>
  frame(frameType.rstStream, 0, streamId, uint32s(code));

/** GOAWAY: streams above `lastStreamId` were not processed and may be tried again elsewhere. */
export const goAwayFrame = (lastStreamId: number, code = 0): Buffer =>
  frame(frameType.goAway, 0, 0, uint32s(lastStreamId, code));

/**
 * Ends a call with a status: a trailers-only reply when no response headers were sent, else
 * trailers.
 *
 * The block begins with a table size update to 0, followed by literals that are not indexed. So it
 * is valid whatever table size the peers had agreed on, and whether or not the previous sender owed
 * such an update. After it, indices of the dynamic table mean nothing, which is fine only because
 * nobody else sends on this connection any more.
 *
 * With `othersGoOn` the previous sender continues with other calls, so the table must stay as it is
 * and there is no update. That is valid unless the client has lowered the table size and has not
 * seen a header block since.
 */
export function statusFrame(
  streamId: number,
  code: number,
  message: string,
  { headersSent, othersGoOn = false }: { headersSent: boolean; othersGoOn?: boolean },
): Buffer {
  const text = Buffer.from(message, 'utf8').subarray(0, maxMessageBytes).toString('utf8');
  const block = Buffer.concat([
    ...(othersGoOn ? [] : [Buffer.of(0x20)]),
    ...(headersSent
      ? []
      : // Static entries 8 (":status: 200") and 31 ("content-type").
        [Buffer.of(0x88, 0x0f, 31 - 15), stringLiteral('application/grpc')]),
    Buffer.of(0x00),
    stringLiteral('grpc-status'),
    stringLiteral(String(code)),
    Buffer.of(0x00),
    stringLiteral('grpc-message'),
    stringLiteral(encodeGrpcMessage(text)),
  ]);
  const flags = frameFlag.endHeaders | frameFlag.endStream;
  return frame(frameType.headers, flags, streamId, block);
}

/** Payload that every peer takes in one frame. */
const maxFrameBytes = 16_384;

/**
 * A header block as HEADERS and CONTINUATION frames, for a peer that was sent other blocks before.
 * As in {@link statusFrame} it begins with a table size update to 0, which also replaces one that
 * was due. Its literals are never indexed, because it is not known here which of them are
 * sensitive.
 */
export function headerFrames(
  streamId: number,
  fields: readonly (readonly [name: string, value: string])[],
  { endStream, priority }: { endStream: boolean; priority?: Buffer },
): Buffer {
  const block = Buffer.concat([
    ...(priority === undefined ? [] : [priority]),
    Buffer.of(0x20),
    ...fields.flatMap(([name, value]) => [
      Buffer.of(0x10),
      stringLiteral(name),
      stringLiteral(value),
    ]),
  ]);
  const frames: Buffer[] = [];
  for (let from = 0; from < block.length; from += maxFrameBytes) {
    const to = Math.min(block.length, from + maxFrameBytes);
    const last = to === block.length ? frameFlag.endHeaders : 0;
    const first =
      (endStream ? frameFlag.endStream : 0) | (priority === undefined ? 0 : frameFlag.priority);
    frames.push(
      from === 0
        ? frame(frameType.headers, first | last, streamId, block.subarray(from, to))
        : frame(frameType.continuation, last, streamId, block.subarray(from, to)),
    );
  }
  return Buffer.concat(frames);
}

/** A string of HPACK without Huffman code. */
function stringLiteral(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const prefix: number[] = [];
  let rest = bytes.length;
  if (rest < 127) {
    prefix.push(rest);
  } else {
    prefix.push(127);
    for (rest -= 127; rest >= 128; rest = Math.floor(rest / 128)) prefix.push((rest & 127) | 128);
    prefix.push(rest);
  }
  return Buffer.concat([Buffer.from(prefix), bytes]);
}
