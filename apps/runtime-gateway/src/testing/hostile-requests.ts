import http2 from 'node:http2';
import net from 'node:net';
import {
  ContainerStatusRequest,
  ContainerStatusResponse,
  ImageStatusRequest,
  ImageStatusResponse,
  PodSandboxStatusRequest,
  PodSandboxStatusResponse,
  StatusRequest,
  StatusResponse,
  type DeepPartial,
  type MessageFns,
} from '@stowage/cri-proto';
import { randomFrom } from '@stowage/testing';

/** What the requests are about: a pod that runs, its container and its image. */
export interface RequestTargets {
  readonly podSandboxId: string;
  readonly containerId: string;
  readonly image: string;
}

export interface HostileRequestsOptions extends RequestTargets {
  readonly runtimeSocket: string;
  readonly readonlySocket: string;
  readonly count: number;
  readonly seed: number;
  /** No more requests after this time, in milliseconds. */
  readonly limitMs?: number;
  say?(line: string): void;
}

export interface HostileRequestsReport {
  readonly sent: number;
  /** How they ended on the read-only socket. */
  readonly ends: Readonly<Record<'malformed' | 'verbose refused' | 'answered' | 'failed', number>>;
  /** Requests that the runtime itself answers with verbose information. */
  readonly verboseOnRuntime: number;
  /** What must not be, with the bytes of the request; empty when all is well. */
  readonly problems: readonly string[];
}

interface StatusCall {
  readonly service: string;
  readonly method: string;
  /** Number of the field `verbose`. */
  readonly verbose: number;
  readonly plain: Buffer;
  /** What a response shows: nothing where the runtime has not what was asked for. */
  shows(response: Uint8Array): 'nothing' | 'plain' | 'verbose';
}

const parallel = 24;
const maxProblems = 20;

/**
 * Sends status requests, most of them with bytes that no client writes and with `verbose` somewhere
 * in them, to the runtime and to a read-only socket in front of it, in both packages, and compares:
 * nothing verbose comes from the read-only socket; what it lets through means to the runtime what
 * it meant to the check; a request that it takes ends as on the runtime.
 */
export async function sendHostileRequests(
  options: HostileRequestsOptions,
): Promise<HostileRequestsReport> {
  const { count, seed, limitMs = Infinity, say } = options;
  const random = randomFrom(seed);
  const calls = statusCalls(options);
  const runtime = new RawClient(options.runtimeSocket);
  const socket = new RawClient(options.readonlySocket);
  const ends = { malformed: 0, 'verbose refused': 0, answered: 0, failed: 0 };
  const problems: string[] = [];
  let sent = 0;
  let verboseOnRuntime = 0;

  // A runtime that speaks v1 alone is asked in v1 for what the socket was asked in v1alpha2.
  const version = await runtime.call('/runtime.v1alpha2.RuntimeService/Version', Buffer.alloc(0));
  const criVersions = { v1: 'v1', v1alpha2: version.code === 12 ? 'v1' : 'v1alpha2' } as const;

  const one = async (): Promise<void> => {
    const call = pick(random, calls);
    const asked = pick(random, ['v1', 'v1alpha2'] as const);
    const bytes = hostileBytes(random, call);
    const path = (spoken: string) => `/runtime.${spoken}.${call.service}/${call.method}`;
    const [own, through] = await Promise.all([
      runtime.call(path(criVersions[asked]), bytes),
      socket.call(path(asked), bytes),
    ]);
    const ownShows = own.code === 0 ? call.shows(own.message) : 'nothing';
    if (ownShows === 'verbose') verboseOnRuntime++;
    const problem = (text: string): void => {
      if (problems.length >= maxProblems) return;
      problems.push(
        `${text}: ${path(asked)} ${bytes.toString('hex')} (${through.code} ${through.text}; runtime ${own.code} ${own.text})`,
      );
    };
    if (through.code === 0) {
      ends.answered++;
      const shows = call.shows(through.message);
      if (shows === 'verbose') problem('verbose information came out');
      if (own.code !== 0) problem('answered, and by the runtime itself not');
      else if (shows !== ownShows) problem(`shows ${shows}, and the runtime shows ${ownShows}`);
    } else if (through.code === 3 && through.text.startsWith('malformed message')) {
      ends.malformed++;
    } else if (through.code === 7) {
      ends['verbose refused']++;
      if (ownShows === 'plain') problem('refused as verbose, which the runtime does not see');
    } else {
      ends.failed++;
      if (own.code !== through.code) problem('ends otherwise than on the runtime');
    }
  };

  const until = performance.now() + limitMs;
  const work = async (): Promise<void> => {
    while (sent < count && performance.now() < until) {
      sent++;
      if (sent % 20_000 === 0) say?.(`${sent} requests, ${problems.length} problems`);
      await one();
    }
  };
  try {
    await Promise.all(Array.from({ length: parallel }, work));
  } finally {
    runtime.close();
    socket.close();
  }
  return { sent, ends, verboseOnRuntime, problems };
}

function statusCalls({ podSandboxId, containerId, image }: RequestTargets): StatusCall[] {
  const shows = (info: object, status: unknown) =>
    Object.keys(info).length > 0 ? 'verbose' : status === undefined ? 'nothing' : 'plain';
  const plain = <T>(type: MessageFns<T>, message: DeepPartial<T>): Buffer =>
    Buffer.from(type.encode(type.fromPartial(message)).finish());
  return [
    {
      service: 'RuntimeService',
      method: 'Status',
      verbose: 1,
      plain: plain(StatusRequest, {}),
      shows: (bytes) => {
        const { info, status } = StatusResponse.decode(bytes);
        return shows(info, status);
      },
    },
    {
      service: 'RuntimeService',
      method: 'PodSandboxStatus',
      verbose: 2,
      plain: plain(PodSandboxStatusRequest, { podSandboxId }),
      shows: (bytes) => {
        const { info, status } = PodSandboxStatusResponse.decode(bytes);
        return shows(info, status);
      },
    },
    {
      service: 'RuntimeService',
      method: 'ContainerStatus',
      verbose: 2,
      plain: plain(ContainerStatusRequest, { containerId }),
      shows: (bytes) => {
        const { info, status } = ContainerStatusResponse.decode(bytes);
        return shows(info, status);
      },
    },
    {
      service: 'ImageService',
      method: 'ImageStatus',
      verbose: 2,
      plain: plain(ImageStatusRequest, { image: { image } }),
      shows: (bytes) => {
        const { info, image: found } = ImageStatusResponse.decode(bytes);
        return shows(info, found);
      },
    },
  ];
}

type Random = () => number;

const below = (random: Random, limit: number): number => Math.floor(random() * limit);
const pick = <T>(random: Random, list: readonly [T, ...T[]] | readonly T[]): T =>
  list[below(random, list.length)] as T;

/** A request put together of pieces, most of them odd, and then changed here and there. */
function hostileBytes(random: Random, call: StatusCall): Buffer {
  const pieces: Buffer[] = [call.plain];
  for (let more = below(random, 4); more >= 0; more--) {
    const piece = pick(random, oddities)(random, call);
    if (random() < 0.6) pieces.push(piece);
    else pieces.unshift(piece);
  }
  let bytes: Buffer = Buffer.concat(pieces);
  while (random() < 0.15) bytes = changed(random, bytes);
  return bytes;
}

type Oddity = (random: Random, call: StatusCall) => Buffer;

const plainVerbose: Oddity = (random, { verbose }) =>
  Buffer.from([verbose << 3, random() < 0.7 ? 1 : 0]);

/** `verbose`, set or not, in every way that came to mind, and what may hide it from a reader. */
const oddities: readonly Oddity[] = [
  plainVerbose,
  plainVerbose,
  (_random, { plain }) => plain,
  // Its tag, longer than need be, or with bits above the field number.
  (random, { verbose }) => Buffer.concat([long(random, BigInt(verbose << 3)), Buffer.from([1])]),
  (random, { verbose }) =>
    Buffer.concat([
      varint(BigInt(verbose << 3) | (BigInt(1 + below(random, 2 ** 31)) << 32n)),
      Buffer.from([1]),
    ]),
  // Its value, longer than need be, larger, or with bits that some readers lose.
  (random, { verbose }) =>
    Buffer.concat([Buffer.from([verbose << 3]), long(random, BigInt(below(random, 2)))]),
  (random, { verbose }) =>
    Buffer.concat([Buffer.from([verbose << 3]), varint(1n << BigInt(below(random, 71)))]),
  // A field that ends the message, or swallows what follows, for some readers.
  (random) => Buffer.concat([varint(BigInt(below(random, 2 ** 31)) << 32n), Buffer.from([0])]),
  () => Buffer.from([0x00]),
  () => Buffer.from([0x00, 0x00]),
  (random) => Buffer.from([below(random, 256)]),
  (random, call) => {
    const field = BigInt(1 + below(random, 40)) << 3n;
    return Buffer.concat([varint(field | 3n), plainVerbose(random, call), varint(field | 4n)]);
  },
  (random) => varint((BigInt(1 + below(random, 40)) << 3n) | 4n),
  (random, call) => {
    const inner = plainVerbose(random, call);
    const length = pick(random, [0, 1, inner.length, inner.length + 3, 127]);
    return Buffer.concat([
      varint((BigInt(1 + below(random, 40)) << 3n) | 2n),
      long(random, BigInt(length)),
      inner,
    ]);
  },
  // Any tag, with any value.
  (random) =>
    Buffer.concat([
      varint(BigInt(below(random, 2 ** pick(random, [6, 12, 32])))),
      Buffer.from(Array.from({ length: below(random, 9) }, () => below(random, 256))),
    ]),
  // Fields of each wire type that nobody knows.
  (random) => Buffer.concat([varint((BigInt(3 + below(random, 2 ** 20)) << 3n) | 0n), varint(7n)]),
  (random) =>
    Buffer.concat([varint((BigInt(3 + below(random, 2 ** 20)) << 3n) | 1n), Buffer.alloc(8, 8)]),
  (random) =>
    Buffer.concat([varint((BigInt(3 + below(random, 2 ** 20)) << 3n) | 5n), Buffer.alloc(4, 8)]),
];

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** The value, with up to nine bytes more than it needs. */
function long(random: Random, value: bigint): Buffer {
  const bytes = varint(value);
  const more = below(random, 10);
  if (more === 0) return bytes;
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 0x80;
  return Buffer.concat([bytes, Buffer.alloc(more - 1, 0x80), Buffer.from([0])]);
}

/** One byte changed, put in or taken out, or the end cut off. */
function changed(random: Random, bytes: Buffer): Buffer {
  const at = below(random, bytes.length + 1);
  const byte = Buffer.from([below(random, 256)]);
  switch (below(random, 4)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at + 1)]);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    default:
      return Buffer.from(bytes.subarray(0, at));
  }
}

interface RawAnswer {
  readonly code: number;
  readonly text: string;
  /** The first message, empty when there is none. */
  readonly message: Buffer;
}

/** Makes unary calls with message bytes as they are, which no gRPC library does. */
class RawClient {
  readonly #session: http2.ClientHttp2Session;

  constructor(socketPath: string) {
    this.#session = http2.connect('http://localhost', {
      createConnection: () => net.connect(socketPath),
    });
    this.#session.on('error', () => undefined);
  }

  call(path: string, message: Buffer): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const chunks: Buffer[] = [];
      let status: http2.IncomingHttpHeaders = {};
      const note = (headers: http2.IncomingHttpHeaders): void => {
        if (headers['grpc-status'] !== undefined) status = headers;
      };
      stream.on('response', note);
      stream.on('trailers', note);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('close', () => {
        const code = Number(status['grpc-status'] ?? Number.NaN);
        const text = decodeURIComponent(String(status['grpc-message'] ?? ''));
        resolve({ code, text, message: Buffer.concat(chunks).subarray(5) });
      });
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([prefix, message]));
    });
  }

  close(): void {
    this.#session.destroy();
  }
}
