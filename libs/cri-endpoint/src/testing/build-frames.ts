import { frameFlag, frameType } from '../wire/frame-reader';

/** A frame with any content, right or wrong. */
export function buildFrame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

/** How a header block or DATA is put into frames. */
export interface FrameForm {
  /** Padding bytes; undefined: not padded. */
  readonly padding?: number;
  /** HEADERS with the priority fields. */
  readonly priority?: boolean;
  /** Places at which a header block goes on in CONTINUATION frames. */
  readonly cuts?: readonly number[];
  readonly endStream?: boolean;
}

/** A header block as HEADERS and CONTINUATION frames. */
export function headerFrames(streamId: number, block: Buffer, form: FrameForm = {}): Buffer {
  const { padding, priority = false, cuts = [], endStream = false } = form;
  const places = [0, ...[...cuts].sort((a, b) => a - b), block.length].map((place) =>
    Math.min(place, block.length),
  );
  const fragments = places.slice(1).map((place, i) => block.subarray(places[i] ?? 0, place));
  return Buffer.concat(
    fragments.map((fragment, i) => {
      const last = i === fragments.length - 1 ? frameFlag.endHeaders : 0;
      if (i > 0) return buildFrame(frameType.continuation, last, streamId, fragment);
      const flags =
        last |
        (endStream ? frameFlag.endStream : 0) |
        (padding === undefined ? 0 : frameFlag.padded) |
        (priority ? frameFlag.priority : 0);
      const payload = Buffer.concat([
        ...(padding === undefined ? [] : [Buffer.of(padding)]),
        ...(priority ? [Buffer.of(0, 0, 0, 0, 15)] : []),
        fragment,
        Buffer.alloc(padding ?? 0),
      ]);
      return buildFrame(frameType.headers, flags, streamId, payload);
    }),
  );
}

/** A DATA frame. */
export function dataFrame(streamId: number, data: Buffer, form: FrameForm = {}): Buffer {
  const { padding, endStream = false } = form;
  const flags =
    (endStream ? frameFlag.endStream : 0) | (padding === undefined ? 0 : frameFlag.padded);
  const payload =
    padding === undefined ? data : Buffer.concat([Buffer.of(padding), data, Buffer.alloc(padding)]);
  return buildFrame(frameType.data, flags, streamId, payload);
}
