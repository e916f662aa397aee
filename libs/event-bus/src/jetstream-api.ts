import { errorMessage } from '@stowage/errors';
import type { NatsConnection } from 'nats';
import { errorText } from './nats-link';

/**
 * Where the JetStream API is looked for: in the account itself, then where deploy/nats lets accounts without JetStream
 * find the part that they may use.
 */
const apiPrefixes = ['$JS.API', 'stowage.api'] as const;

/** Codes of the JetStream API that are told apart. */
export const apiCode = {
  consumerNotFound: 10014,
  noJetStreamForAccount: 10039,
  messageTooLarge: 10054,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  subjectsOverlap: 10065,
  noJetStream: 10076,
};

/** The client's code for a request that nobody listens to. */
const noResponders = '503';

/** What a failed request says. */
export interface ApiFailure {
  /** The client's code, as in `TIMEOUT`. */
  code: string | undefined;
  /** JetStream's own code; absent when it was not JetStream that answered. */
  apiCode: number | undefined;
  text: string;
}

/** Reads a client error. Its message is often the code alone, so JetStream's words come first. */
export function apiFailure(error: unknown): ApiFailure {
  const { code, api_error: api } = (error ?? {}) as {
    code?: string;
    api_error?: { err_code?: number; description?: string };
  };
  return { code, apiCode: api?.err_code, text: api?.description ?? errorText(error) };
}

/** Nobody listened to the request. */
export const isUnheard = ({ code, apiCode }: ApiFailure): boolean =>
  code === noResponders && apiCode === undefined;

/** The account has no JetStream. */
export const isWithoutJetStream = (failure: ApiFailure): boolean =>
  isUnheard(failure) ||
  failure.apiCode === apiCode.noJetStream ||
  failure.apiCode === apiCode.noJetStreamForAccount;

/** The login may not publish, or not subscribe to, what the request takes. */
export const isForbidden = (error: unknown): boolean =>
  /permissions violation/i.test(errorMessage(error));

/**
 * Asks the API of the account; where that has none, the one that it imports. Throws what the first one said when the
 * second does not answer.
 */
export async function askApi<T>(ask: (apiPrefix: string) => Promise<T>): Promise<T> {
  let first: unknown;
  for (const apiPrefix of apiPrefixes) {
    try {
      return await ask(apiPrefix);
    } catch (error) {
      const isAbsent = isWithoutJetStream(apiFailure(error));
      if (first !== undefined && (isAbsent || isForbidden(error))) break;
      if (!isAbsent) throw error;
      first = error;
    }
  }
  throw first;
}

/** A look at the API with the client's manager for it. */
export const jetStreamManager = (
  connection: NatsConnection,
  apiPrefix: string,
  timeoutMs?: number,
) =>
  connection.jetstreamManager({
    apiPrefix,
    checkAPI: false,
    ...(timeoutMs !== undefined && { timeout: timeoutMs }),
  });
