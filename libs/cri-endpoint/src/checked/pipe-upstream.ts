import type net from 'node:net';
import { errorMessage } from '@stowage/errors';
import type { PipeCall } from './pipe-call';
import type { PipeClient } from './pipe-client';
import { putRequest, requestBytes } from './request-head';
import { connectUnix, type Connecting } from '../connect-unix';
import { decodeGrpcMessage, messagePrefixBytes } from '../grpc-wire';
import { ReadBuffer, shortReadBytes } from '../read-buffer';
import { Standstill } from './standstill';
import { clientPreface, frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import { FrameSplitter, maxFrameBytes } from '../wire/frame-splitter';
import { FrameWriter, putFrameHeader } from '../wire/frame-writer';
import { headerBlockFrames } from '../wire/header-fields';
import { HpackDecoder } from '../wire/hpack-decoder';
import { errorCode, Http2Error } from '../wire/http2-error';
import { UntrackableError } from '../wire/untrackable-error';

/** Windows that HTTP/2 begins with. */
const firstWindowBytes = 65_535;
const maxWindow = 0x7fffffff;
/** Streams a server allows before its SETTINGS say otherwise, as nghttp2 assumes. */
const callsBeforeSettings = 100;
/** Stream ids end at 2^31 and each call takes two: a connection retires well before. */
const maxStreamIdUsed = 2 ** 30;
/** How much of the window that nobody used is given back at once. */
const grantBytes = 16 * 1024;
/** What is kept of replies for which a client has no window before no more is read. */
const maxHeldBytes = 64 * 1024;
/** Largest response header block. */
const maxBlockBytes = 256 * 1024;
/** Requests up to this size are put together in the writer's memory. */
const shortRequestBytes = 4 * 1024;
/**
 * How long the answer to a PING may wait for something to go with it. Servers in Go send one with
 * nearly each call.
 */
const pingDelayMs = 5;
const maxPings = 16;
/** How long, in looks of half a second, a connection may take nothing while something waits. */
const maxStalledLooks = 10;

const setting = { tableSize: 0x1, push: 0x2, maxCalls: 0x3, initialWindow: 0x4, maxHeaders: 0x6 };

/** SETTINGS of a client that the runtime has been sent, and that it has yet to acknowledge. */
export interface AwaitedAck {
  connections: number;
}

/** A reply that waits for the client's window. */
interface HeldFrame {
  readonly call: PipeCall;
  readonly type: number;
  readonly flags: number;
  /** The whole frame, or the frames of a header block. */
  readonly frames: Buffer;
  /** The header block, where it came in several frames. */
  readonly block?: Buffer;
}

const none = Buffer.alloc(0);

/**
 * A connection of one client to the runtime. Requests leave under stream numbers of its own, in
 * bytes that were written here. Replies go to the client as they are, but for the number of the
 * stream: the runtime is told to use no table for its header blocks, so that each stands for
 * itself and ours fit between them. Streams to the client are under the client's own flow control;
 * of the connection's window the runtime gets what the client has given.
 */
export class PipeUpstream {
  readonly #calls = new Map<number, PipeCall>();
  /** Calls that wait for the connection, or for room on it. */
  readonly #waiting = new Set<PipeCall>();
  #state: 'connecting' | 'open' | 'closing' | 'lost' = 'connecting';
  readonly #connecting: Connecting;
  #socket: net.Socket | undefined;
  #writer: FrameWriter | undefined;
  readonly #splitter = new FrameSplitter(
    (type, flags, streamId, input, start, end) =>
      this.#onFrame(type, flags, streamId, input, start, end),
    { preface: false },
  );
  readonly standstill = new Standstill();
  #failure: string | undefined;
  #nextId = 1;

  // What the runtime has said of itself.
  #hasSettings = false;
  #maxCalls = callsBeforeSettings;
  #firstUploadWindow = firstWindowBytes;

  /** What it takes of DATA on the whole connection. */
  #uploadWindow = firstWindowBytes;
  /** Calls whose DATA waits for that. */
  readonly #blocked = new Set<PipeCall>();
  /** What it may send of DATA on the whole connection. */
  #granted = firstWindowBytes;
  readonly #held: HeldFrame[] = [];
  #heldBytes = 0;
  #heldData = 0;
  #isPaused = false;
  /** Payloads of PINGs that were not answered yet. */
  readonly #pings: Buffer[] = [];
  #pingTimer: NodeJS.Timeout | undefined;
  readonly #acks: (AwaitedAck | undefined)[] = [];

  // A response header block that is continued in further frames.
  #blockCall: PipeCall | undefined;
  #blockStreamId = 0;
  #blockFlags = 0;
  #block: Buffer[] = [];
  #blockBytes = 0;

  readonly #decoder = new HpackDecoder(0);
  #httpStatus = 0;
  #grpcStatus: number | undefined;
  #grpcMessage: string | undefined;
  /** The response headers and trailers seen last: most are the same. */
  #knownHead = none;
  #knownTrailers = none;
  #knownStatus: number | undefined;
  #knownMessage: string | undefined;

  constructor(
    readonly address: string,
    private readonly client: PipeClient,
  ) {
    const replies = new ReadBuffer(shortReadBytes);
    this.#connecting = connectUnix(
      address,
      {
        connected: (socket) => this.#connected(socket, replies),
        failed: (error) => this.#end(errorMessage(error)),
      },
      { onread: replies.onread },
    );
  }

  /** Whether a call can begin now. */
  get takesCalls(): boolean {
    return this.#state === 'open' && this.#calls.size < this.#maxCalls;
  }

  /** Whether it may take more calls before long. */
  get mayTakeCalls(): boolean {
    return this.#state === 'connecting' || (this.#state === 'open' && !this.#hasSettings);
  }

  /** Whether it takes no calls any more. */
  get isClosing(): boolean {
    return this.#state === 'closing' || this.#state === 'lost';
  }

  /** Whether the runtime does not take what is sent to it. */
  get isFull(): boolean {
    const socket = this.#socket;
    return socket !== undefined && socket.writableLength >= socket.writableHighWaterMark;
  }

  /** The call's request goes to the runtime from now on. */
  take(call: PipeCall): void {
    call.upstream = this;
    if (this.takesCalls) this.#begin(call);
    else this.#waiting.add(call);
  }

  /** DATA of the client for a call that was taken. */
  data(call: PipeCall, input: Buffer, start: number, end: number): void {
    call.uploadEnded = call.requestEnded;
    const bytes = end - start;
    if (call.upstreamId !== 0 && call.upload.length === 0 && this.#takesUpload(call, bytes)) {
      this.#writeData(call, input, start, end, call.uploadEnded);
      this.client.consumed(call, bytes);
      return;
    }
    // A copy, so that a few bytes do not keep a whole chunk.
    if (bytes > 0) call.upload.push(Buffer.from(input.subarray(start, end)));
    if (call.upstreamId !== 0) this.#upload(call);
  }

  /** The client has ended its side without DATA. */
  requestEnded(call: PipeCall): void {
    call.uploadEnded = true;
    if (call.upstreamId !== 0) this.#upload(call);
  }

  /** The client takes more of a stream. */
  window(call: PipeCall, bytes: number): void {
    if (call.upstreamId === 0) return;
    this.#writer?.uint32(frameType.windowUpdate, call.upstreamId, bytes);
  }

  /** The client takes more on the whole connection. */
  connectionWindow(): void {
    this.#release();
    this.#grant(1);
  }

  /** Sends the client's SETTINGS; `ack` is settled once the runtime has acknowledged them. */
  settings(ack: AwaitedAck): void {
    if (this.#state === 'connecting' || this.#state === 'lost') return;
    ack.connections++;
    this.#acks.push(ack);
    this.#writeSettings();
  }

  /** The call is over for the client. */
  reset(call: PipeCall, code: number): void {
    if (call.upstreamId === 0 || this.#state === 'lost') return;
    this.#writer?.uint32(frameType.rstStream, call.upstreamId, code);
  }

  /** Nothing more is to come of the call. */
  forget(call: PipeCall): void {
    this.#waiting.delete(call);
    this.#blocked.delete(call);
    this.#calls.delete(call.upstreamId);
    if (this.#state === 'closing' && this.#calls.size === 0) this.#destroy();
    else if (this.#waiting.size > 0) this.#serve();
  }

  flush(): void {
    const writer = this.#writer;
    if (writer === undefined || writer.isEmpty) return;
    if (this.#pings.length > 0) this.#answerPings();
    writer.flush();
  }

  #answerPings(): void {
    clearTimeout(this.#pingTimer);
    this.#pingTimer = undefined;
    for (const payload of this.#pings.splice(0)) {
      this.#writer?.header(frameType.ping, frameFlag.ack, 0, payload.length);
      this.#writer?.bytes(payload, 0, payload.length);
    }
    this.#writer?.flush();
  }

  /** The client's socket takes bytes again. */
  resume(): void {
    if (!this.#isPaused || this.#heldBytes > maxHeldBytes || this.client.isFull) return;
    this.#isPaused = false;
    this.#socket?.resume();
  }

  /** Checked twice a second: a connection that neither takes nor delivers is given up. */
  look(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#state === 'lost') return;
    if (this.standstill.looks(socket) < maxStalledLooks) return;
    const seconds = maxStalledLooks / 2;
    this.#giveUp(`the connection to it took nothing for ${seconds} s and was given up`);
    this.client.flush();
  }

  /** Ends it, and says nothing to the calls that are left. */
  destroy(): void {
    this.#calls.clear();
    this.#waiting.clear();
    this.#destroy();
  }

  #connected(socket: net.Socket, replies: ReadBuffer): void {
    this.#socket = socket;
    this.#writer = new FrameWriter(socket);
    this.#state = 'open';
    replies.onChunk = (chunk) => this.#read(chunk);
    socket.on('error', (error) => (this.#failure ??= errorMessage(error)));
    socket.once('close', () => this.#end('connection lost'));
    socket.on('drain', () => {
      this.#uploadAll();
      this.client.upstreamDrained();
    });
    this.#writer.bytes(clientPreface, 0, clientPreface.length);
    this.#acks.push(undefined);
    this.#writeSettings();
    this.#grant(1);
    this.#serve();
    this.client.flush();
  }

  #writeSettings(): void {
    const { initialWindowBytes, maxHeaderListBytes } = this.client.settings;
    const values = [
      [setting.tableSize, 0],
      [setting.push, 0],
      [setting.initialWindow, initialWindowBytes],
      ...(maxHeaderListBytes === undefined ? [] : [[setting.maxHeaders, maxHeaderListBytes]]),
    ];
    const payload = Buffer.alloc(frameHeaderBytes + values.length * 6);
    putFrameHeader(payload, 0, frameType.settings, 0, 0, values.length * 6);
    values.forEach(([id = 0, value = 0], i) => {
      payload.writeUInt16BE(id, frameHeaderBytes + i * 6);
      payload.writeUInt32BE(value, frameHeaderBytes + i * 6 + 2);
    });
    this.#writer?.bytes(payload, 0, payload.length);
  }

  /** Begins what waits, as far as there is room; the rest goes elsewhere once that is known. */
  #serve(): void {
    for (const call of [...this.#waiting]) {
      if (this.takesCalls) {
        this.#waiting.delete(call);
        this.#begin(call);
      } else if (this.mayTakeCalls) {
        return;
      } else {
        this.#waiting.delete(call);
        this.client.take(call, this.address);
      }
    }
  }

  #begin(call: PipeCall): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    const streamId = this.#nextId;
    this.#nextId += 2;
    if (this.#nextId > maxStreamIdUsed) this.#state = 'closing';
    call.upstreamId = streamId;
    call.uploadWindow = this.#firstUploadWindow;
    this.#calls.set(streamId, call);
    const { head, upstreamPath: path, body } = call;
    const endsAtHead = body === undefined && call.requestEnded && call.upload.length === 0;
    const flags = endsAtHead ? frameFlag.endStream : 0;
    const form = { isFirst: streamId === 1, isReplaced: body !== undefined };
    const most = requestBytes(head, path);
    if (most <= shortRequestBytes) {
      const at = writer.reserve(most);
      const end = putRequest(writer.slab, at, head, path, form);
      writer.end(end);
      const bytes = end - at - frameHeaderBytes;
      const all = flags | frameFlag.endHeaders;
      putFrameHeader(writer.slab, at, frameType.headers, all, streamId, bytes);
    } else {
      const out = Buffer.allocUnsafe(most);
      const end = putRequest(out, 0, head, path, form);
      for (const part of headerBlockFrames(out.subarray(0, end), streamId, flags)) {
        writer.bytes(part, 0, part.length);
      }
    }
    const more = call.sendWindow - this.client.settings.initialWindowBytes;
    if (more > 0) writer.uint32(frameType.windowUpdate, streamId, more);
    if (endsAtHead) return;
    if (body !== undefined) this.#sendBody(call, body);
    else if (call.upload.length > 0 || call.uploadEnded) this.#upload(call);
  }

  /** Sends the message that was understood, which is all of the request. */
  #sendBody(call: PipeCall, body: Uint8Array): void {
    const bytes = messagePrefixBytes + body.length;
    call.uploadEnded = true;
    call.body = undefined;
    const writer = this.#writer;
    if (writer !== undefined && bytes <= shortRequestBytes && this.#takesUpload(call, bytes)) {
      const at = writer.reserve(frameHeaderBytes + bytes);
      const { slab } = writer;
      putFrameHeader(slab, at, frameType.data, frameFlag.endStream, call.upstreamId, bytes);
      slab[at + frameHeaderBytes] = 0;
      slab.writeUInt32BE(body.length, at + frameHeaderBytes + 1);
      slab.set(body, at + frameHeaderBytes + messagePrefixBytes);
      const from = at + frameHeaderBytes;
      call.tap?.request(slab.subarray(from, from + bytes));
      this.#uploadWindow -= bytes;
      call.uploadWindow -= bytes;
      return;
    }
    const framed = Buffer.allocUnsafe(bytes);
    framed[0] = 0;
    framed.writeUInt32BE(body.length, 1);
    framed.set(body, messagePrefixBytes);
    call.tap?.request(framed);
    call.upload.push(framed);
    this.#upload(call);
  }

  #takesUpload(call: PipeCall, bytes: number): boolean {
    return bytes <= this.#uploadWindow && bytes <= call.uploadWindow && !this.isFull;
  }

  /** Sends what the windows allow of the DATA that waits. */
  #upload(call: PipeCall): void {
    const { upload } = call;
    if (upload.length === 0) {
      if (call.uploadEnded) this.#writeData(call, none, 0, 0, true);
      return;
    }
    let first = upload[0];
    while (first !== undefined) {
      const room = Math.min(this.#uploadWindow, call.uploadWindow, maxFrameBytes);
      const bytes = this.isFull ? 0 : Math.min(room, first.length);
      if (bytes <= 0) {
        this.#blocked.add(call);
        return;
      }
      const isWhole = bytes === first.length;
      const isLast = isWhole && upload.length === 1 && call.uploadEnded;
      this.#writeData(call, first, 0, bytes, isLast);
      if (call.check === undefined) this.client.consumed(call, bytes);
      if (isWhole) upload.shift();
      else upload[0] = first.subarray(bytes);
      first = upload[0];
    }
    this.#blocked.delete(call);
  }

  #writeData(call: PipeCall, input: Buffer, start: number, end: number, endStream: boolean): void {
    const bytes = end - start;
    this.#uploadWindow -= bytes;
    call.uploadWindow -= bytes;
    this.#writer?.header(
      frameType.data,
      endStream ? frameFlag.endStream : 0,
      call.upstreamId,
      bytes,
    );
    if (bytes > 0) this.#writer?.bytes(input, start, end);
  }

  /** Uploads that waited go on. */
  #uploadAll(): void {
    for (const call of [...this.#blocked]) this.#upload(call);
  }

  /** Gives the runtime what the client takes, when that is at least `least` more than it has. */
  #grant(least: number): void {
    const more = Math.min(maxWindow, this.client.window - this.#heldData) - this.#granted;
    if (more < least || this.#writer === undefined) return;
    this.#granted += more;
    this.#writer.uint32(frameType.windowUpdate, 0, more);
  }

  /** Returns false when the memory of the chunk is still needed. */
  #read(chunk: Buffer): boolean {
    if (this.#state === 'lost') return true;
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      if (!(error instanceof Http2Error || error instanceof UntrackableError)) throw error;
      this.#giveUp('it broke HTTP/2');
    }
    this.client.flush();
    if (this.#heldBytes > maxHeldBytes || this.client.isFull) {
      this.#isPaused = true;
      this.#socket?.pause();
    }
    return this.client.writer.hasLeft;
  }

  #onFrame(
    type: number,
    flags: number,
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    if (this.#blockStreamId !== 0) {
      this.#continuation(type, flags, streamId, input, start, end);
      return;
    }
    if (!this.#hasSettings && type !== frameType.settings) wrong('SETTINGS do not come first');
    switch (type) {
      case frameType.data:
        this.#onData(flags, streamId, input, start, end);
        return;
      case frameType.headers:
        this.#onHeaders(flags, streamId, input, start, end);
        return;
      case frameType.rstStream:
        if (end - start !== 4 || !this.#isBegun(streamId)) wrong('RST_STREAM');
        this.#reply(streamId, type, flags, input, start, end);
        return;
      case frameType.settings:
        this.#onSettings(flags, streamId, input, start, end);
        return;
      case frameType.ping:
        if (end - start !== 8 || streamId !== 0) wrong('PING');
        if ((flags & frameFlag.ack) !== 0) return;
        this.#pings.push(Buffer.from(input.subarray(start, end)));
        if (this.#pings.length >= maxPings) this.#answerPings();
        else this.#pingTimer ??= setTimeout(() => this.#answerPings(), pingDelayMs);
        return;
      case frameType.goAway:
        if (end - start < 8 || streamId !== 0) wrong('GOAWAY');
        this.#onGoAway(input.readUInt32BE(start) & maxWindow);
        return;
      case frameType.windowUpdate:
        if (end - start !== 4) wrong('WINDOW_UPDATE');
        this.#onWindow(streamId, input.readUInt32BE(start) & maxWindow);
        return;
      case frameType.pushPromise:
      case frameType.continuation:
        return wrong(`a frame of type ${type}`);
      default:
        return;
    }
  }

  #isBegun(streamId: number): boolean {
    return streamId % 2 === 1 && streamId < this.#nextId;
  }

  #onData(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    if (!this.#isBegun(streamId)) wrong('DATA of no call');
    const bytes = end - start;
    if ((flags & frameFlag.padded) !== 0 && (bytes === 0 || (input[start] ?? 0) >= bytes)) {
      wrong('padding');
    }
    this.#granted -= bytes;
    if (this.#granted < 0) wrong('more DATA than the window allows');
    if (this.#reply(streamId, frameType.data, flags, input, start, end)) return;
    this.#grant(grantBytes);
  }

  #onHeaders(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    if (!this.#isBegun(streamId)) wrong('HEADERS of no call');
    if ((flags & frameFlag.endHeaders) !== 0) {
      this.#reply(streamId, frameType.headers, flags, input, start, end);
      return;
    }
    this.#blockCall = this.#calls.get(streamId);
    this.#blockStreamId = streamId;
    this.#blockFlags = flags;
    this.#blockBytes = end - start;
    this.#block = [fragmentOf(flags, input, start, end)];
  }

  #continuation(
    type: number,
    flags: number,
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    if (type !== frameType.continuation || streamId !== this.#blockStreamId) {
      wrong('a header block is interrupted');
    }
    this.#blockBytes += end - start + frameHeaderBytes;
    if (this.#blockBytes > maxBlockBytes) wrong('a header block that is too large');
    this.#block.push(Buffer.from(input.subarray(start, end)));
    if ((flags & frameFlag.endHeaders) === 0) return;
    const call = this.#blockCall;
    const block = Buffer.concat([Buffer.alloc(frameHeaderBytes), ...this.#block]);
    const endStream = this.#blockFlags & frameFlag.endStream;
    this.#blockStreamId = 0;
    this.#blockCall = undefined;
    this.#block = [];
    if (call === undefined || call.isOver) return;
    const frames = Buffer.concat(headerBlockFrames(block, call.streamId, endStream));
    const held = {
      call,
      type: frameType.headers,
      flags: endStream,
      frames,
      block: block.subarray(frameHeaderBytes),
    };
    if (this.#held.length > 0) this.#hold(held);
    else this.#deliverBlock(held, held.block);
  }

  #deliverBlock({ call, flags, frames }: HeldFrame, block: Buffer): void {
    this.#note(call, flags, block, 0, block.length);
    this.client.writer.bytes(frames, 0, frames.length);
    if ((flags & frameFlag.endStream) !== 0) this.client.answerEnded(call);
  }

  /** Passes a frame of a call on, now or once the client has room; false when nobody gets it. */
  #reply(
    streamId: number,
    type: number,
    flags: number,
    input: Buffer,
    start: number,
    end: number,
  ): boolean {
    const call = this.#calls.get(streamId);
    if (call === undefined) return false;
    input.writeUInt32BE(call.streamId, start - 4);
    const isData = type === frameType.data;
    if (this.#held.length > 0 || (isData && this.client.window < end - start)) {
      const frames = Buffer.from(input.subarray(start - frameHeaderBytes, end));
      this.#hold({ call, type, flags, frames });
      return true;
    }
    this.#deliver(call, type, flags, input, start, end);
    return true;
  }

  #hold(held: HeldFrame): void {
    this.#held.push(held);
    this.#heldBytes += held.frames.length;
    if (held.type === frameType.data) this.#heldData += held.frames.length - frameHeaderBytes;
  }

  /** Passes on what was held, as far as the client's window allows. */
  #release(): void {
    let count = 0;
    for (const held of this.#held) {
      const { call, type, flags, frames, block } = held;
      const payload = frames.length - frameHeaderBytes;
      if (type === frameType.data && this.client.window < payload) break;
      count++;
      this.#heldBytes -= frames.length;
      if (type === frameType.data) this.#heldData -= payload;
      if (call.isOver) continue;
      if (block !== undefined) this.#deliverBlock(held, block);
      else this.#deliver(call, type, flags, frames, frameHeaderBytes, frames.length);
    }
    if (count === 0) return;
    this.#held.splice(0, count);
    this.resume();
    if (this.#failure !== undefined && this.#held.length === 0) this.#end(this.#failure);
  }

  #deliver(
    call: PipeCall,
    type: number,
    flags: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    switch (type) {
      case frameType.data: {
        const padding = (flags & frameFlag.padded) === 0 ? 0 : (input[start] ?? 0) + 1;
        call.responseBytes += end - start - padding;
        if (call.tap !== undefined) {
          const from = padding === 0 ? start : start + 1;
          call.tap.response(input.subarray(from, from + end - start - padding));
        }
        this.client.sendsData(call, end - start);
        break;
      }
      case frameType.headers: {
        const fragment = fragmentPlace(flags, input, start, end);
        this.#note(call, flags, input, fragment.start, fragment.end);
        break;
      }
      default:
        this.client.writer.bytes(input, start - frameHeaderBytes, end);
        this.client.runtimeReset(call);
        return;
    }
    this.client.writer.bytes(input, start - frameHeaderBytes, end);
    if ((flags & frameFlag.endStream) !== 0) this.client.answerEnded(call);
  }

  /** Reads what a header block says about the call. */
  #note(call: PipeCall, flags: number, input: Buffer, start: number, end: number): void {
    if ((flags & frameFlag.endStream) === 0) {
      if (!isSame(this.#knownHead, input, start, end)) {
        this.#decode(input, start, end);
        // Headers of an interim response do not count.
        if (this.#httpStatus < 200) return;
        this.#knownHead = Buffer.from(input.subarray(start, end));
      }
      call.headersSent = true;
      return;
    }
    if (!isSame(this.#knownTrailers, input, start, end)) {
      this.#decode(input, start, end);
      this.#knownStatus = this.#grpcStatus;
      this.#knownMessage = this.#grpcMessage;
      this.#knownTrailers = Buffer.from(input.subarray(start, end));
    }
    call.grpcStatus = this.#knownStatus;
    if (call.tap !== undefined && this.#knownMessage !== undefined) {
      call.grpcMessage = decodeGrpcMessage(this.#knownMessage);
    }
  }

  #decode(input: Buffer, start: number, end: number): void {
    this.#httpStatus = 0;
    this.#grpcStatus = undefined;
    this.#grpcMessage = undefined;
    this.#decoder.decode(input, start, end, (name, value) => {
      if (name === ':status') this.#httpStatus = Number(value);
      else if (name === 'grpc-status' && /^\d{1,4}$/.test(value)) this.#grpcStatus = Number(value);
      else if (name === 'grpc-message') this.#grpcMessage = value;
    });
  }

  #onSettings(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    if (streamId !== 0 || (end - start) % 6 !== 0) wrong('SETTINGS');
    if ((flags & frameFlag.ack) !== 0) {
      if (!this.#hasSettings) wrong('SETTINGS do not come first');
      const ack = this.#acks.shift();
      if (ack !== undefined) this.client.acknowledged(ack);
      return;
    }
    if (!this.#hasSettings) this.#maxCalls = Infinity;
    this.#hasSettings = true;
    for (let at = start; at < end; at += 6) {
      const value = input.readUInt32BE(at + 2);
      const id = input.readUInt16BE(at);
      if (id === setting.maxCalls) this.#maxCalls = value;
      if (id !== setting.initialWindow) continue;
      if (value > maxWindow) wrong('INITIAL_WINDOW_SIZE');
      const more = value - this.#firstUploadWindow;
      this.#firstUploadWindow = value;
      for (const call of this.#calls.values()) {
        call.uploadWindow += more;
        if (call.upload.length > 0) this.#blocked.add(call);
      }
    }
    this.#writer?.header(frameType.settings, frameFlag.ack, 0, 0);
    this.#uploadAll();
    this.#serve();
  }

  #onWindow(streamId: number, bytes: number): void {
    if (streamId === 0) {
      this.#uploadWindow += bytes;
      if (this.#uploadWindow > maxWindow) wrong('a window that is too large');
      this.#uploadAll();
      return;
    }
    if (!this.#isBegun(streamId)) wrong('WINDOW_UPDATE of no call');
    const call = this.#calls.get(streamId);
    if (call === undefined) return;
    call.uploadWindow += bytes;
    if (call.uploadWindow > maxWindow) wrong('a window that is too large');
    if (call.upload.length > 0) this.#upload(call);
  }

  #onGoAway(lastStreamId: number): void {
    if (this.#state === 'open') this.#state = 'closing';
    // These were not begun: the client tries them again.
    for (const [streamId, call] of [...this.#calls]) {
      if (streamId > lastStreamId) this.client.refusedByRuntime(call);
    }
    this.#serve();
    if (this.#calls.size === 0) this.#destroy();
  }

  #giveUp(failure: string): void {
    this.client.givenUp(this.address, failure);
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.#heldData = 0;
    this.#end(failure);
  }

  /** It is over: what its calls have not got of their answers, they do not get. */
  #end(failure: string): void {
    this.#failure ??= failure;
    if (this.#state === 'lost') return;
    if (this.#held.length > 0) {
      // What it has said before it went is still good.
      this.#state = 'closing';
      return;
    }
    const calls = [...this.#waiting, ...this.#calls.values()];
    this.destroy();
    for (const call of calls) this.client.lost(call, this.#failure);
    this.client.flush();
  }

  #destroy(): void {
    if (this.#state === 'lost') return;
    this.#state = 'lost';
    clearTimeout(this.#pingTimer);
    this.#connecting.cancel();
    this.#splitter.stop();
    this.#writer?.flush();
    this.#socket?.destroy();
    for (const ack of this.#acks.splice(0)) if (ack !== undefined) this.client.acknowledged(ack);
    this.client.upstreamGone(this);
  }
}

function wrong(what: string): never {
  throw new Http2Error(errorCode.protocolError, what);
}

/** The fragment of a HEADERS frame, without padding and priority. */
function fragmentPlace(
  flags: number,
  input: Buffer,
  start: number,
  end: number,
): { start: number; end: number } {
  if ((flags & (frameFlag.padded | frameFlag.priority)) === 0) return { start, end };
  let padding = 0;
  if ((flags & frameFlag.padded) !== 0) padding = input[start++] ?? 0;
  if ((flags & frameFlag.priority) !== 0) start += 5;
  if (start > end - padding) wrong('padding');
  return { start, end: end - padding };
}

function fragmentOf(flags: number, input: Buffer, start: number, end: number): Buffer {
  const place = fragmentPlace(flags, input, start, end);
  return Buffer.from(input.subarray(place.start, place.end));
}

function isSame(known: Buffer, input: Buffer, start: number, end: number): boolean {
  return known.length === end - start && known.compare(input, start, end) === 0;
}
