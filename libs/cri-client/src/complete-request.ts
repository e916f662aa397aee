import type { DeepPartial } from '@stowage/cri-proto';
import type { MessageCodec } from './method-rules';

interface WithUnknownFields {
  _unknownFields?: unknown;
}

/**
 * A whole message from the given fields. Fields of a newer client in a decoded message, which no
 * type here knows, are kept.
 */
export function completeRequest<Message>(
  codec: MessageCodec<Message>,
  partial: DeepPartial<Message> | undefined,
): Message {
  const message = codec.fromPartial(partial ?? ({} as DeepPartial<Message>));
  copyUnknownFields(partial, message);
  return message;
}

function copyUnknownFields(from: unknown, to: unknown): void {
  if (!isObject(from) || !isObject(to) || from instanceof Uint8Array) return;
  const unknownFields = (from as WithUnknownFields)._unknownFields;
  if (unknownFields !== undefined) (to as WithUnknownFields)._unknownFields = unknownFields;
  for (const [name, value] of Object.entries(from)) {
    if (name !== '_unknownFields' && isObject(value)) {
      copyUnknownFields(value, (to as Record<string, unknown>)[name]);
    }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value != null;
}
