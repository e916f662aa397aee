import type { BinaryReader } from '@bufbuild/protobuf/wire';
import type { StreamCall, UnaryCall } from '@stowage/cri-endpoint';
import type { ServiceName } from '@stowage/cri-proto/paths';
import type { TraceContext } from '@stowage/tracing';

/** How the messages of one type are written and read: a message object of `@stowage/cri-proto`. */
export interface MessageCodec<Message> {
  encode(message: Message): { finish(): Uint8Array };
  decode(input: BinaryReader | Uint8Array, length?: number): Message;
}

/** A method of a service definition, as far as this library looks at it. */
export interface CriMethod {
  /** Wire name, for example `ListContainers`. */
  readonly name: string;
  readonly requestType: MessageCodec<unknown>;
  readonly responseType: MessageCodec<unknown>;
  readonly responseStream: boolean;
}

/** `RuntimeServiceDefinition` or `ImageServiceDefinition` of `@stowage/cri-proto`. */
export interface CriServiceDefinition {
  readonly name: ServiceName;
  readonly methods: Readonly<Record<string, CriMethod>>;
}

/** The call as the implementation of a method sees it. */
export interface CriCall extends UnaryCall {
  /**
   * The span of the call, or the trace that came with it where no spans are made: for events and
   * calls that follow.
   */
  readonly trace: TraceContext;
}

/** The same, for a method that answers with a stream; what it yields is sent. */
export interface CriStreamCall extends CriCall, Pick<StreamCall, 'fail'> {}

type RequestOf<Method> = Method extends {
  requestType: { decode(bytes: Uint8Array): infer Request };
}
  ? Request
  : never;

type ResponseOf<Method> = Method extends {
  responseType: { decode(bytes: Uint8Array): infer Response };
}
  ? Response
  : never;

/** The implementation of one method. What it throws becomes the status of the call. */
export type MethodHandler<Method> = Method extends { responseStream: true }
  ? (request: RequestOf<Method>, call: CriStreamCall) => AsyncIterable<ResponseOf<Method>>
  : (request: RequestOf<Method>, call: CriCall) => Promise<ResponseOf<Method>>;

/**
 * The methods of a service that are answered here, by their names in the definition; any may be
 * left out.
 */
export type Implementation<Definition extends CriServiceDefinition> = {
  readonly [Name in keyof Definition['methods']]?: MethodHandler<Definition['methods'][Name]>;
};
