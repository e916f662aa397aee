import { frameFlag, frameHeaderBytes, frameType } from './frame-reader';
import { maxFrameBytes } from './frame-splitter';
import { putFrameHeader } from './frame-writer';
import { staticTable } from './static-table';

/** What a field takes at most, beyond name and value. */
const fieldOverheadBytes = 16;

/**
 * Begins a block: sets the limit of the receiver's table to 0. Valid in any block, also where the
 * limit is 0 already.
 */
export const emptyTable = 0x20;

const staticNames = new Map<string, number>();
staticTable.forEach(([name], index) => {
  if (!staticNames.has(name)) staticNames.set(name, index + 1);
});

/** Room that {@link putField} needs. */
export const fieldBytes = (name: string, value: string): number =>
  name.length + value.length + fieldOverheadBytes;

/**
 * Writes a field as a literal that is not indexed, so that no table changes; returns where it ends.
 * Names and values are Latin-1.
 */
export function putField(
  out: Buffer,
  at: number,
  name: string,
  value: string,
  neverIndexed: boolean,
): number {
  const index = staticNames.get(name) ?? 0;
  const pattern = neverIndexed ? 0x10 : 0x00;
  if (index < 15) {
    out[at++] = pattern | index;
  } else {
    out[at++] = pattern | 15;
    out[at++] = index - 15;
  }
  if (index === 0) at = putString(out, at, name);
  return putString(out, at, value);
}

function putString(out: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length < 127) {
    out[at++] = length;
  } else {
    out[at++] = 127;
    let rest = length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) out[at++] = (rest & 127) | 128;
    out[at++] = rest;
  }
  // Below this length a loop is faster than the call into the runtime.
  if (length > 24) return at + out.write(text, at, length, 'latin1');
  for (let i = 0; i < length; i++) out[at++] = text.charCodeAt(i);
  return at;
}

/** A block of literals; `:status: 200` is written as its index. */
export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const bytes = fields.reduce((sum, [name, value]) => sum + fieldBytes(name, value), 1);
  const out = Buffer.allocUnsafe(bytes);
  let at = 0;
  out[at++] = emptyTable;
  for (const [name, value] of fields) {
    if (name === ':status' && value === '200') out[at++] = 0x88;
    else at = putField(out, at, name, value, false);
  }
  return out.subarray(0, at);
}

/** The frames of a header block; `block` begins behind room for the header of the first frame. */
export function headerBlockFrames(
  framed: Buffer,
  streamId: number,
  flags: number,
): readonly Buffer[] {
  const bytes = framed.length - frameHeaderBytes;
  if (bytes <= maxFrameBytes) {
    putFrameHeader(framed, 0, frameType.headers, flags | frameFlag.endHeaders, streamId, bytes);
    return [framed];
  }
  const frames: Buffer[] = [];
  for (let from = 0; from < bytes; from += maxFrameBytes) {
    const length = Math.min(maxFrameBytes, bytes - from);
    const last = from + length === bytes ? frameFlag.endHeaders : 0;
    const header = Buffer.allocUnsafe(frameHeaderBytes);
    const type = from === 0 ? frameType.headers : frameType.continuation;
    putFrameHeader(header, 0, type, (from === 0 ? flags : 0) | last, streamId, length);
    const start = frameHeaderBytes + from;
    frames.push(header, framed.subarray(start, start + length));
  }
  return frames;
}
