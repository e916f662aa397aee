import { BinaryReader } from '@bufbuild/protobuf/wire';
import { InvalidArgumentError } from '@stowage/errors';
import type { CriMethod } from './types';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads the request of a method. Throws InvalidArgumentError for bytes that are not such a message,
 * including text that is not UTF-8, so that a request is understood exactly as sent or not at all.
 */
export function decodeRequest(method: CriMethod, bytes: Uint8Array): unknown {
  try {
    checkFields(bytes);
    return method.requestType.decode(new BinaryReader(bytes, (text) => utf8.decode(text)));
  } catch (cause) {
    throw new InvalidArgumentError(
      'request',
      `${bytes.length} bytes`,
      // The requests of the CRI are named after their methods, all but GetEventsRequest.
      `a ${method.name}Request message`,
      { cause },
    );
  }
}

/**
 * The generated code treats an impossible tag as the end of the message, and ignores what follows.
 */
function checkFields(bytes: Uint8Array): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    reader.skip(wireType, field);
  }
}
