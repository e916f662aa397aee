import type net from 'node:net';
import { errorMessage } from '@stowage/errors';
import type { ClientSettings } from './client-frames';
import { HeldReplies, type HeldReply } from './held-replies';
import type { PipeCall } from './pipe-call';
import { ReplyStatus } from './reply-status';
import { putRequest, requestBytes } from './request-head';
import { broken, fragmentPlace, RuntimeFrames, type RuntimeListener } from './runtime-frames';
import { Standstill } from './standstill';
import { keep, Uploads, type UploadTarget } from './uploads';
import { connectUnix, type Connecting } from '../connect-unix';
import { ReadBuffer, shortReadBytes } from '../read-buffer';
import { clientPreface, frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import { FrameWriter, putFrameHeader } from '../wire/frame-writer';
import { maxWindow } from '../wire/raw-frames';
import { headerBlockFrames } from '../wire/header-fields';
import { Http2Error } from '../wire/http2-error';
import { UntrackableError } from '../wire/untrackable-error';

/** Window of a connection that HTTP/2 begins with. */
const firstWindowBytes = 65_535;
/** Streams a server allows before its SETTINGS say otherwise, as nghttp2 assumes. */
const callsBeforeSettings = 100;
/** Stream ids end at 2^31 and each call takes two: a connection retires well before. */
const maxStreamIdUsed = 2 ** 30;
/** How much of the window that nobody used is given back at once. */
const grantBytes = 16 * 1024;
/** What is kept of replies for which a client has no window before no more is read. */
const maxHeldBytes = 64 * 1024;
/** Request headers up to this size are put together in the writer's memory. */
const shortHeadBytes = 4 * 1024;
/**
 * When a PING is answered: with what is written next after the first time, by itself after the
 * second. Servers in Go send one with each call that comes while none of theirs is on its way, so
 * an answer at once would make it one a call.
 */
const pingDelayMs = 20;
const pingLimitMs = 50;
const maxPings = 16;
/** How long, in looks of half a second, a connection may take nothing while something waits. */
const maxStalledLooks = 10;

const setting = { tableSize: 0x1, push: 0x2, maxCalls: 0x3, initialWindow: 0x4, maxHeaders: 0x6 };

/** SETTINGS of a client that the runtime has been sent, and that it has yet to acknowledge. */
export interface AwaitedAck {
  connections: number;
}

/** The client whose calls go over a {@link PipeUpstream}. */
export interface UpstreamClient {
  readonly writer: FrameWriter;
  readonly settings: ClientSettings;
  /** What it takes of DATA on its whole connection. */
  readonly window: number;
  /** Whether it does not take what is sent to it. */
  readonly isFull: boolean;
  /** Hands everything that was written to the sockets, the runtime's too. */
  flush(): void;
  /** DATA of `bytes` goes to the client. */
  sendsData(call: PipeCall, bytes: number): void;
  /** DATA of the client was taken. */
  consumed(call: PipeCall | undefined, bytes: number): void;
  /** The runtime has answered to the end, and the client has it. */
  answerEnded(call: PipeCall): void;
  /** The runtime has reset the call, and the client knows. */
  runtimeReset(call: PipeCall): void;
  /** The runtime has not begun the call and will not: the client tries it again. */
  refusedByRuntime(call: PipeCall): void;
  /** The connection to the runtime is lost. */
  lost(call: PipeCall, failure: string): void;
  /** The connection did not move any more, or broke HTTP/2. */
  givenUp(address: string, reason: string): void;
  /** One connection less that has to acknowledge SETTINGS. */
  acknowledged(ack: AwaitedAck): void;
  /** The call needs another connection to `address`. */
  take(call: PipeCall, address: string): void;
  upstreamGone(upstream: PipeUpstream): void;
  /** The runtime takes bytes again. */
  upstreamDrained(): void;
}

/** What there is once the socket is connected. */
interface Link {
  readonly socket: net.Socket;
  readonly writer: FrameWriter;
  readonly uploads: Uploads;
}

/**
 * A connection of one client to the runtime. Requests leave under stream numbers of its own, in
 * bytes that were written here. Replies go to the client as they are, but for the number of the
 * stream: the runtime is told to use no table for its header blocks, so that each stands for itself
 * and ours fit between them. Streams to the client are under the client's own flow control; of the
 * connection's window the runtime gets what the client has given.
 */
export class PipeUpstream implements RuntimeListener, UploadTarget {
  readonly #calls = new Map<number, PipeCall>();
  /** Calls that wait for the connection, or for room on it. */
  readonly #waiting = new Set<PipeCall>();
  #state: 'connecting' | 'open' | 'closing' | 'lost' = 'connecting';
  readonly #connecting: Connecting;
  #link: Link | undefined;
  readonly #frames = new RuntimeFrames(this);
  readonly #status = new ReplyStatus();
  readonly #standstill = new Standstill();
  #failure: string | undefined;
  #nextId = 1;

  /** Calls that the runtime takes at once; it has said so once {@link #hasSettings}. */
  #maxCalls = callsBeforeSettings;
  #hasSettings = false;

  /** What the runtime may send of DATA on the whole connection. */
  #granted = firstWindowBytes;
  readonly #held = new HeldReplies();
  /** The socket is closed, and something is held that came before. */
  #isGone = false;
  #isPaused = false;
  /** Payloads of PINGs that were not answered yet. */
  readonly #pings: Buffer[] = [];
  /** When the first of them came. */
  #pingedAt = 0;
  #pingTimer: NodeJS.Timeout | undefined;
  readonly #acks: (AwaitedAck | undefined)[] = [];

  constructor(
    readonly address: string,
    private readonly client: UpstreamClient,
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
    const socket = this.#link?.socket;
    return socket !== undefined && socket.writableLength >= socket.writableHighWaterMark;
  }

  /** DATA of the client was taken. */
  consumed(call: PipeCall, bytes: number): void {
    this.client.consumed(call, bytes);
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
    if (call.upstreamId === 0) keep(call, input, start, end);
    else this.#link?.uploads.data(call, input, start, end);
  }

  /** The client has ended its side without DATA. */
  requestEnded(call: PipeCall): void {
    call.uploadEnded = true;
    if (call.upstreamId !== 0) this.#link?.uploads.goOn(call);
  }

  /** The client takes more of a stream. */
  window(call: PipeCall, bytes: number): void {
    if (call.upstreamId === 0) return;
    this.#link?.writer.uint32(frameType.windowUpdate, call.upstreamId, bytes);
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
    this.#link?.writer.uint32(frameType.rstStream, call.upstreamId, code);
  }

  /** Nothing more is to come of the call. */
  forget(call: PipeCall): void {
    this.#waiting.delete(call);
    this.#link?.uploads.forget(call);
    this.#calls.delete(call.upstreamId);
    if (call.heldReplies > 0) {
      this.#held.drop(call);
      this.#grant(grantBytes);
      this.resume();
      this.#endIfReleased();
    }
    if (this.#state === 'closing' && this.#calls.size === 0) this.#destroy();
    else if (this.#waiting.size > 0) this.#serve();
  }

  flush(): void {
    const writer = this.#link?.writer;
    if (writer === undefined || writer.isEmpty) return;
    if (this.#pings.length > 0 && performance.now() - this.#pingedAt >= pingDelayMs) {
      this.#answerPings(writer);
    }
    writer.flush();
  }

  /** The client's socket takes bytes again. */
  resume(): void {
    if (!this.#isPaused || this.#held.bytes > maxHeldBytes || this.client.isFull) return;
    this.#isPaused = false;
    this.#link?.socket.resume();
  }

  /** Checked twice a second: a connection that neither takes nor delivers is given up. */
  look(): void {
    const socket = this.#link?.socket;
    if (socket === undefined || this.#state === 'lost') return;
    if (this.#standstill.looks(socket) < maxStalledLooks) return;
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
    const { client } = this;
    const writer = new FrameWriter(socket);
    const uploads = new Uploads(writer, this);
    this.#link = { socket, writer, uploads };
    this.#state = 'open';
    replies.onChunk = (chunk) => this.#read(chunk);
    socket.on('error', (error) => (this.#failure ??= errorMessage(error)));
    socket.once('close', () => this.#end('connection lost'));
    socket.on('drain', () => {
      uploads.goOnAll();
      client.upstreamDrained();
    });
    writer.bytes(clientPreface, 0, clientPreface.length);
    this.#acks.push(undefined);
    this.#writeSettings();
    this.#grant(1);
    this.#serve();
    client.flush();
  }

  #writeSettings(): void {
    const { initialWindowBytes, maxHeaderListBytes } = this.client.settings;
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
    this.#link?.writer.bytes(frame, 0, frame.length);
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
    const link = this.#link;
    if (link === undefined) return;
    const { writer, uploads } = link;
    const streamId = this.#nextId;
    this.#nextId += 2;
    if (this.#nextId > maxStreamIdUsed) this.#state = 'closing';
    call.upstreamId = streamId;
    uploads.begin(call);
    this.#calls.set(streamId, call);
    const { body } = call;
    const endsAtHead = body === undefined && call.requestEnded && call.upload.length === 0;
    this.#writeHead(writer, call, endsAtHead ? frameFlag.endStream : 0);
    const more = call.sendWindow - this.client.settings.initialWindowBytes;
    if (more > 0) writer.uint32(frameType.windowUpdate, streamId, more);
    if (endsAtHead) return;
    if (body !== undefined) {
      call.body = undefined;
      uploads.message(call, body);
    } else if (call.upload.length > 0 || call.uploadEnded) {
      uploads.goOn(call);
    }
  }

  #writeHead(writer: FrameWriter, call: PipeCall, flags: number): void {
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

  /** Gives the runtime what the client takes, when that is at least `least` more than it has. */
  #grant(least: number): void {
    const more = Math.min(maxWindow, this.client.window - this.#held.dataBytes) - this.#granted;
    if (more < least || this.#link === undefined) return;
    this.#granted += more;
    this.#link.writer.uint32(frameType.windowUpdate, 0, more);
  }

  /** Returns false when the memory of the chunk is still needed. */
  #read(chunk: Buffer): boolean {
    if (this.#state === 'lost') return true;
    try {
      this.#frames.push(chunk);
    } catch (error) {
      if (!(error instanceof Http2Error || error instanceof UntrackableError)) throw error;
      this.#giveUp('it broke HTTP/2');
    }
    this.client.flush();
    if (this.#held.bytes > maxHeldBytes || this.client.isFull) {
      this.#isPaused = true;
      this.#link?.socket.pause();
    }
    return this.client.writer.hasLeft;
  }

  // What the runtime sends.

  onReply(
    type: number,
    flags: number,
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    this.#checkBegun(streamId);
    const isData = type === frameType.data;
    if (isData) {
      this.#granted -= end - start;
      if (this.#granted < 0) broken('more DATA than the window allows');
    }
    const call = this.#calls.get(streamId);
    if (call === undefined) {
      // Nobody waits for it: the window that it took is free again.
      if (isData) this.#grant(grantBytes);
      return;
    }
    input.writeUInt32BE(call.streamId, start - 4);
    if (call.heldReplies > 0 || (isData && this.client.window < end - start)) {
      const frames = Buffer.from(input.subarray(start - frameHeaderBytes, end));
      this.#held.push({ call, type, flags, frames });
      return;
    }
    this.#deliver(call, type, flags, input, start, end);
  }

  onLongBlock(streamId: number, endStream: boolean, framed: Buffer): void {
    this.#checkBegun(streamId);
    const call = this.#calls.get(streamId);
    if (call === undefined) return;
    const flags = endStream ? frameFlag.endStream : 0;
    const frames = Buffer.concat(headerBlockFrames(framed, call.streamId, flags));
    const block = framed.subarray(frameHeaderBytes);
    const reply: HeldReply = { call, type: frameType.headers, flags, frames, block };
    if (call.heldReplies > 0) this.#held.push(reply);
    else this.#deliverBlock(reply, block);
  }

  onSetting(id: number, value: number): void {
    if (!this.#hasSettings) {
      this.#hasSettings = true;
      this.#maxCalls = Infinity;
    }
    if (id === setting.maxCalls) this.#maxCalls = value;
    if (id === setting.initialWindow) {
      this.#link?.uploads.firstStreamWindow(value, this.#calls.values());
    }
  }

  onSettingsEnd(): void {
    if (!this.#hasSettings) this.#maxCalls = Infinity;
    this.#hasSettings = true;
    this.#link?.writer.header(frameType.settings, frameFlag.ack, 0, 0);
    this.#link?.uploads.goOnAll();
    this.#serve();
  }

  onSettingsAck(): void {
    const ack = this.#acks.shift();
    if (ack !== undefined) this.client.acknowledged(ack);
  }

  onPing(input: Buffer, start: number, end: number): void {
    if (this.#pings.length === 0) this.#pingedAt = performance.now();
    this.#pings.push(Buffer.from(input.subarray(start, end)));
    const writer = this.#link?.writer;
    if (writer === undefined) return;
    if (this.#pings.length >= maxPings) this.#answerPings(writer);
    // One that is answered meanwhile leaves the timer as it is: there would be one for each call.
    this.#pingTimer ??= setTimeout(() => {
      this.#pingTimer = undefined;
      this.#answerPings(writer);
      writer.flush();
    }, pingLimitMs);
  }

  onGoAway(lastStreamId: number): void {
    if (this.#state === 'open') this.#state = 'closing';
    // These were not begun: the client tries them again.
    for (const [streamId, call] of [...this.#calls]) {
      if (streamId > lastStreamId) this.client.refusedByRuntime(call);
    }
    this.#serve();
    if (this.#calls.size === 0) this.#destroy();
  }

  onWindow(streamId: number, bytes: number): void {
    if (streamId === 0) {
      this.#link?.uploads.window(bytes);
      return;
    }
    this.#checkBegun(streamId);
    const call = this.#calls.get(streamId);
    if (call !== undefined) this.#link?.uploads.streamWindow(call, bytes);
  }

  #checkBegun(streamId: number): void {
    if (streamId % 2 === 0 || streamId >= this.#nextId) broken('a frame of no call');
  }

  #answerPings(writer: FrameWriter): void {
    for (const payload of this.#pings.splice(0)) {
      writer.header(frameType.ping, frameFlag.ack, 0, payload.length);
      writer.bytes(payload, 0, payload.length);
    }
  }

  // What of that goes to the client.

  #deliver(
    call: PipeCall,
    type: number,
    flags: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    const { writer } = this.client;
    if (type === frameType.data) {
      this.#countData(call, flags, input, start, end);
    } else if (type === frameType.headers) {
      const place = fragmentPlace(flags, input, start, end);
      this.#note(call, flags, input, place.start, place.end);
    }
    writer.bytes(input, start - frameHeaderBytes, end);
    if (type === frameType.rstStream) this.client.runtimeReset(call);
    else if ((flags & frameFlag.endStream) !== 0) this.client.answerEnded(call);
  }

  #deliverBlock({ call, flags, frames }: HeldReply, block: Buffer): void {
    this.#note(call, flags, block, 0, block.length);
    this.client.writer.bytes(frames, 0, frames.length);
    if ((flags & frameFlag.endStream) !== 0) this.client.answerEnded(call);
  }

  #countData(call: PipeCall, flags: number, input: Buffer, start: number, end: number): void {
    this.client.sendsData(call, end - start);
    let from = start;
    let to = end;
    if ((flags & frameFlag.padded) !== 0) to -= input[from++] ?? 0;
    call.responseBytes += to - from;
    call.tap?.response(input.subarray(from, to));
  }

  #note(call: PipeCall, flags: number, input: Buffer, start: number, end: number): void {
    if ((flags & frameFlag.endStream) !== 0) this.#status.end(call, input, start, end);
    else this.#status.head(call, input, start, end);
  }

  /** Passes on what was held, as far as the client's window allows. */
  #release(): void {
    if (this.#held.isEmpty) return;
    let next = this.#held.shift(this.client.window);
    while (next !== undefined) {
      const { call, type, flags, frames, block } = next;
      if (block !== undefined) this.#deliverBlock(next, block);
      else this.#deliver(call, type, flags, frames, frameHeaderBytes, frames.length);
      next = this.#held.shift(this.client.window);
    }
    this.resume();
    this.#endIfReleased();
  }

  // How it ends.

  #giveUp(failure: string): void {
    this.client.givenUp(this.address, failure);
    this.#held.clear();
    this.#end(failure);
  }

  /** It is over: what its calls have not got of their answers, they do not get. */
  #end(failure: string): void {
    this.#failure ??= failure;
    if (this.#state === 'lost') return;
    if (!this.#held.isEmpty) {
      // What it has said before it went is still good.
      this.#state = 'closing';
      this.#isGone = true;
      return;
    }
    const calls = [...this.#waiting, ...this.#calls.values()];
    this.destroy();
    for (const call of calls) this.client.lost(call, this.#failure);
    this.client.flush();
  }

  #endIfReleased(): void {
    if (this.#isGone && this.#held.isEmpty && this.#failure !== undefined) this.#end(this.#failure);
  }

  #destroy(): void {
    if (this.#state === 'lost') return;
    this.#state = 'lost';
    clearTimeout(this.#pingTimer);
    this.#connecting.cancel();
    this.#frames.stop();
    this.#link?.writer.flush();
    this.#link?.socket.destroy();
    for (const ack of this.#acks.splice(0)) if (ack !== undefined) this.client.acknowledged(ack);
    this.client.upstreamGone(this);
  }
}
