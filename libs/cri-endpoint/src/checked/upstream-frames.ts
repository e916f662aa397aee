import type { ClientSettings } from './client-frames';
import type { PipeCall } from './pipe-call';
import { putRequest, requestBytes } from './request-head';
import { frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import { putFrameHeader, type FrameWriter } from '../wire/frame-writer';
import { headerBlockFrames } from '../wire/header-fields';

/** Request headers up to this size are put together in the writer's memory. */
const shortHeadBytes = 4 * 1024;

/** SETTINGS of HTTP/2 that a runtime is sent, or that it sends. */
export const setting = {
  tableSize: 0x1,
  push: 0x2,
  maxCalls: 0x3,
  initialWindow: 0x4,
  maxHeaders: 0x6,
};

/** SETTINGS to a runtime: those of the client, and no table for header blocks. */
export function writeSettings(
  writer: FrameWriter,
  { initialWindowBytes, maxHeaderListBytes }: ClientSettings,
): void {
  const values = [
    [setting.tableSize, 0],
    [setting.push, 0],
    [setting.initialWindow, initialWindowBytes],
    ...(maxHeaderListBytes === undefined ? [] : [[setting.maxHeaders, maxHeaderListBytes]]),
  ];
  const frame = Buffer.alloc(frameHeaderBytes + values.length * 6);
  putFrameHeader(frame, 0, frameType.settings, 0, 0, values.length * 6);
  values.forEach(([id = 0, value = 0], i) => {
    frame.writeUInt16BE(id, frameHeaderBytes + i * 6);
    frame.writeUInt32BE(value, frameHeaderBytes + i * 6 + 2);
  });
  writer.bytes(frame, 0, frame.length);
}

/** Headers of a call's request, for the stream that the call has at the runtime. */
export function writeHead(writer: FrameWriter, call: PipeCall, flags: number): void {
  const { head, upstreamPath: path, upstreamId: streamId } = call;
  const isReplaced = call.body !== undefined;
  const known = head.written(path, isReplaced);
  const most = known?.length ?? requestBytes(head, path);
  if (most <= shortHeadBytes) {
    const at = writer.reserve(most);
    const end =
      known === undefined
        ? putRequest(writer.slab, at, head, path, isReplaced)
        : at + known.copy(writer.slab, at);
    writer.end(end);
    const bytes = end - at - frameHeaderBytes;
    const all = flags | frameFlag.endHeaders;
    putFrameHeader(writer.slab, at, frameType.headers, all, streamId, bytes);
    return;
  }
  const out = Buffer.allocUnsafe(most);
  const end = putRequest(out, 0, head, path, isReplaced);
  for (const part of headerBlockFrames(out.subarray(0, end), streamId, flags)) {
    writer.bytes(part, 0, part.length);
  }
}
