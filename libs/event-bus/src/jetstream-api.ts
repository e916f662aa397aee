import { errorMessage } from '@stowage/errors';
import type { NatsConnection } from 'nats';
import { errorText } from './error-text';

/**
 * Prefixes of the JetStream API: that of the account itself, then the one under which deploy/nats
 * exports the permitted part to accounts without JetStream.
 */
const apiPrefixes = ['$JS.API', 'stowage.api'] as const;

/** Codes of the JetStream API that are distinguished. */
export const apiCode = {
  consumerNotFound: 10014,
  noJetStreamForAccount: 10039,
  messageTooLarge: 10054,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  subjectsOverlap: 10065,
  noJetStream: 10076,
};

/** The client's code for a request without a responder. */
const noResponders = '503';

/** Why a request failed. */
export interface ApiFailure {
  /** The client's code, as in `TIMEOUT`. */
  code: string | undefined;
  /** JetStream's own code; absent when JetStream did not answer. */
  apiCode: number | undefined;
  text: string;
}

interface ApiError {
  readonly err_code?: number;
  readonly description?: string;
}

/** Errors of the client version 3 that say what version 2 has a code for, by their names. */
const codesByName: Readonly<Record<string, string>> = {
  NoRespondersError: noResponders,
  JetStreamNotEnabled: noResponders,
  TimeoutError: 'TIMEOUT',
};

/**
 * Reads an error of the client, of version 2 or 3. Its message is often only the code, so
 * JetStream's own text comes first.
 */
export function apiFailure(error: unknown): ApiFailure {
  const found = (error ?? {}) as {
    code?: unknown;
    name?: string;
    cause?: { name?: string };
    api_error?: ApiError;
    apiError?: () => ApiError;
  };
  const api = found.api_error ?? found.apiError?.();
  const named = codesByName[found.name ?? ''] ?? codesByName[found.cause?.name ?? ''];
  return {
    code: typeof found.code === 'string' ? found.code : named,
    apiCode: api?.err_code,
    text: api?.description ?? errorText(error),
  };
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
 * Asks the API of the account; if it has none, the imported one. Throws the error of the first when
 * the second does not answer.
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

/** Access to the API with the client's manager for it. */
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
