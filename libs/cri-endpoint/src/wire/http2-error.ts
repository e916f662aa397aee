/** Error codes of HTTP/2 (RFC 9113, section 7) that are sent or looked at here. */
export const errorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
} as const;

/** Highest error code that RFC 9113 defines. */
export const maxErrorCode = 0xd;

/** The peer broke a rule of HTTP/2 or went beyond a limit: the connection ends with `code`. */
export class Http2Error extends Error {
  override readonly name = 'Http2Error';
  constructor(
    readonly code: number,
    detail: string,
  ) {
    super(detail);
  }
}
