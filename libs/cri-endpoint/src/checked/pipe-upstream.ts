import type net from 'node:net';
import { errorMessage } from '@stowage/errors';
import type { PipeCall } from './pipe-call';
import { RuntimeFrames, type RuntimeListener } from './runtime-frames';
import { RuntimePings } from './runtime-pings';
import { Standstill } from './standstill';
import { keep, Uploads, type UploadTarget } from './uploads';
import type { AwaitedAck, UpstreamClient } from './upstream-client';
import { setting, writeHead, writeSettings } from './upstream-frames';
import { UpstreamReplies } from './upstream-replies';
import { UpstreamStreams } from './upstream-streams';
import { connectUnix, type Connecting } from '../connect-unix';
import { ReadBuffer, shortReadBytes } from '../read-buffer';
import { clientPreface, frameFlag, frameType } from '../wire/frame-reader';
import { FrameWriter } from '../wire/frame-writer';
import { Http2Error } from '../wire/http2-error';
import { UntrackableError } from '../wire/untrackable-error';

/** Streams a server allows before its SETTINGS say otherwise, as nghttp2 assumes. */
const callsBeforeSettings = 100;
/** How long, in looks of half a second, a connection may take nothing while something waits. */
const maxStalledLooks = 10;

/** What there is once the socket is connected. */
interface Link {
  readonly socket: net.Socket;
  readonly writer: FrameWriter;
  readonly frames: RuntimeFrames;
  readonly uploads: Uploads;
  readonly replies: UpstreamReplies;
  readonly pings: RuntimePings;
}

/**
 * A connection of one client to the runtime. Requests leave under stream numbers of its own, in
 * bytes that were written here. The runtime is told to use no table for its header blocks, so that
 * each of its replies stands for itself and ours fit between them.
 */
export class PipeUpstream implements RuntimeListener, UploadTarget {
  readonly #streams = new UpstreamStreams();
  /** Calls that wait for the connection, or for room on it. */
  readonly #waiting = new Set<PipeCall>();
  #state: 'connecting' | 'open' | 'closing' | 'lost' = 'connecting';
  readonly #connecting: Connecting;
  #link: Link | undefined;
  readonly #standstill = new Standstill();
  #failure: string | undefined;

  /** Calls that the runtime takes at once; it has said so once {@link #hasSettings}. */
  #maxCalls = callsBeforeSettings;
  #hasSettings = false;

  /** The socket is closed, and something is held that came before. */
  #isGone = false;
  #isPaused = false;
  readonly #acks: (AwaitedAck | undefined)[] = [];

  constructor(
    readonly address: string,
    private readonly client: UpstreamClient,
  ) {
    const received = new ReadBuffer(shortReadBytes);
    this.#connecting = connectUnix(
      address,
      {
        connected: (socket) => this.#connected(socket, received),
        failed: (error) => this.#end(errorMessage(error)),
      },
      { onread: received.onread },
    );
  }

  /** Whether a call can begin now. */
  get takesCalls(): boolean {
    return this.#state === 'open' && this.#streams.count < this.#maxCalls;
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

  /** Whether the socket has taken all that was flushed. */
  get hasLeft(): boolean {
    return this.#link?.writer.hasLeft ?? true;
  }

  /** Whether something it has sent waits for the window of the client's connection. */
  get holdsReplies(): boolean {
    return this.#link?.replies.areHeld === true;
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
    const replies = this.#link?.replies;
    if (replies === undefined) return;
    if (replies.release()) this.#released();
    replies.grant();
  }

  /** Sends the client's SETTINGS; `ack` is settled once the runtime has acknowledged them. */
  settings(ack: AwaitedAck): void {
    if (this.#link === undefined || this.#state === 'lost') return;
    ack.connections++;
    this.#acks.push(ack);
    writeSettings(this.#link.writer, this.client.settings);
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
    this.#streams.forget(call);
    if (call.heldReplies > 0) {
      this.#link?.replies.drop(call);
      this.#released();
    }
    if (this.#state === 'closing' && this.#streams.count === 0) this.#destroy();
    else if (this.#waiting.size > 0) this.#serve();
  }

  flush(): void {
    const link = this.#link;
    if (link === undefined || link.writer.isEmpty) return;
    link.pings.beforeFlush();
    link.writer.flush();
  }

  /** The client's socket takes bytes again. */
  resume(): void {
    const link = this.#link;
    if (!this.#isPaused || link === undefined || link.replies.areStopped) return;
    this.#isPaused = false;
    link.socket.resume();
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
    this.#streams.clear();
    this.#waiting.clear();
    this.#destroy();
  }

  #connected(socket: net.Socket, received: ReadBuffer): void {
    const { client } = this;
    const writer = new FrameWriter(socket);
    const uploads = new Uploads(writer, this);
    const replies = new UpstreamReplies(client, this.#streams, writer);
    const frames = new RuntimeFrames(replies, this);
    const link = { socket, writer, frames, uploads, replies, pings: new RuntimePings(writer) };
    this.#link = link;
    this.#state = 'open';
    received.onChunk = (chunk) => this.#read(link, chunk);
    socket.on('error', (error) => (this.#failure ??= errorMessage(error)));
    socket.once('close', () => this.#end('connection lost'));
    socket.on('drain', () => {
      uploads.goOnAll();
      client.upstreamDrained();
    });
    writer.bytes(clientPreface, 0, clientPreface.length);
    this.#acks.push(undefined);
    writeSettings(writer, client.settings);
    replies.grant();
    this.#serve();
    client.flush();
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
    this.#streams.begin(call);
    if (this.#streams.areUsedUp) this.#state = 'closing';
    uploads.begin(call);
    const { body } = call;
    const endsAtHead = body === undefined && call.requestEnded && call.upload.length === 0;
    writeHead(writer, call, endsAtHead ? frameFlag.endStream : 0);
    const more = call.sendWindow - this.client.settings.initialWindowBytes;
    if (more > 0) writer.uint32(frameType.windowUpdate, call.upstreamId, more);
    if (endsAtHead) return;
    if (body !== undefined) {
      call.body = undefined;
      uploads.message(call, body);
    } else if (call.upload.length > 0 || call.uploadEnded) {
      uploads.goOn(call);
    }
  }

  /** Returns false when the memory of the chunk is still needed. */
  #read({ socket, frames, replies }: Link, chunk: Buffer): boolean {
    if (this.#state === 'lost') return true;
    try {
      frames.push(chunk);
    } catch (error) {
      if (!(error instanceof Http2Error || error instanceof UntrackableError)) throw error;
      this.#giveUp('it broke HTTP/2');
    }
    this.client.flush();
    if (replies.areStopped) {
      this.#isPaused = true;
      socket.pause();
    }
    return this.client.writer.hasLeft;
  }

  // What the runtime says of the connection.

  onSetting(id: number, value: number): void {
    if (!this.#hasSettings) {
      this.#hasSettings = true;
      this.#maxCalls = Infinity;
    }
    if (id === setting.maxCalls) this.#maxCalls = value;
    if (id === setting.initialWindow) {
      this.#link?.uploads.firstStreamWindow(value, this.#streams.calls());
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
    this.#link?.pings.came(input, start, end);
  }

  onGoAway(lastStreamId: number): void {
    if (this.#state === 'open') this.#state = 'closing';
    // These were not begun: the client tries them again.
    for (const call of [...this.#streams.calls()]) {
      if (call.upstreamId > lastStreamId) this.client.refusedByRuntime(call);
    }
    this.#serve();
    if (this.#streams.count === 0) this.#destroy();
  }

  onWindow(streamId: number, bytes: number): void {
    if (streamId === 0) {
      this.#link?.uploads.window(bytes);
      return;
    }
    const call = this.#streams.find(streamId);
    if (call !== undefined) this.#link?.uploads.streamWindow(call, bytes);
  }

  // How it ends.

  #giveUp(failure: string): void {
    this.client.givenUp(this.address, failure);
    this.#link?.replies.clear();
    this.#end(failure);
  }

  /** It is over: what its calls have not got of their answers, they do not get. */
  #end(failure: string): void {
    this.#failure ??= failure;
    if (this.#state === 'lost') return;
    if (this.#link?.replies.areHeld === true) {
      // What it has said before it went is still good.
      this.#state = 'closing';
      this.#isGone = true;
      return;
    }
    const calls = [...this.#waiting, ...this.#streams.calls()];
    this.destroy();
    for (const call of calls) this.client.lost(call, this.#failure);
    this.client.flush();
  }

  /** Something less is held. */
  #released(): void {
    this.resume();
    if (!this.#isGone || this.#failure === undefined || this.#link?.replies.areHeld === true)
      return;
    this.#end(this.#failure);
  }

  #destroy(): void {
    if (this.#state === 'lost') return;
    this.#state = 'lost';
    this.#link?.pings.stop();
    this.#connecting.cancel();
    this.#link?.frames.stop();
    this.#link?.writer.flush();
    this.#link?.socket.destroy();
    for (const ack of this.#acks.splice(0)) if (ack !== undefined) this.client.acknowledged(ack);
    this.client.upstreamGone(this);
  }
}
