import type { DeepPartial } from '@stowage/cri-proto';

/** A method of a generated service definition, as far as this library looks at it. */
export interface MethodDefinition<Request, Response> {
  /** Wire name, for example `ListContainers`. */
  readonly name: string;
  readonly requestType: MessageCodec<Request>;
  readonly responseType: MessageCodec<Response>;
  readonly responseStream: boolean;
}

export interface MessageCodec<Message> {
  encode(message: Message): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Message;
  fromPartial(partial: DeepPartial<Message>): Message;
}

/** Request of a method of a generated definition. */
export type RequestOf<Method> = Method extends {
  requestType: { decode(bytes: Uint8Array): infer Request };
}
  ? Request
  : never;

/** Response, or one message of the stream, of a method of a generated definition. */
export type ResponseOf<Method> = Method extends {
  responseType: { decode(bytes: Uint8Array): infer Response };
}
  ? Response
  : never;

/** The methods of a generated definition that answer with a stream. */
export type StreamNames<Methods> = {
  [Name in keyof Methods]: Methods[Name] extends { responseStream: true } ? Name : never;
}[keyof Methods];

/** How a list call uses its streaming variant. */
export interface StreamedList<Methods, Response> {
  readonly method: StreamNames<Methods>;
  /** One response from all chunks, in their order. */
  collect(chunks: readonly unknown[]): Response;
}

/** What kubelet's client does around one call. */
export interface MethodRule<Methods, Request, Response> {
  /** Label value of kubelet's metrics for this call (`operation_type`). */
  readonly operation: string;
  /**
   * Time the call may take, in milliseconds; `undefined` for no limit. Without a rule it is the
   * base.
   */
  readonly timeoutMs?: (request: Request, baseMs: number) => number | undefined;
  /**
   * A time-out given with the call replaces the rule's (kubelet: "the caller's deadline, else
   * base").
   */
  readonly callerTimeoutReplaces?: boolean;
  /**
   * A stream that the runtime never ends by itself: it ends when another connection replaces its
   * own.
   */
  readonly endsWithConnection?: boolean;
  /** Refuses or completes a request before it is sent. Throws CriRequestError. */
  readonly prepare?: (request: Request, baseMs: number) => Request;
  /**
   * Error of a call without a request, where kubelet has one; elsewhere an absent request is an
   * empty one.
   */
  readonly missingRequest?: string;
  /** Throws for a response that kubelet's client rejects. */
  readonly check?: (response: Response, request: Request) => void;
  /** Replaces the error the call ended with. */
  readonly translate?: (error: unknown, request: Request) => unknown;
  /** Id of the container or sandbox the call is about, for logs. */
  readonly objectId?: (request: Request) => string;
  /** The call can be made as a stream instead, when the client is configured so. */
  readonly streamed?: StreamedList<Methods, Response>;
}

/** One rule for each method of a service. */
export type MethodRules<Methods> = {
  readonly [Name in keyof Methods]: MethodRule<
    Methods,
    RequestOf<Methods[Name]>,
    ResponseOf<Methods[Name]>
  >;
};
