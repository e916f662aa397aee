/** Older engines write `Calling GET /v1.41/info`, from 28 on `request-url=/v1.48/info`. */
const requestLine = /(?:Calling [A-Z]+ |request-url="?)([^\s"]+)/g;

/** What an engine was asked for, by its log at the level debug: paths with their queries. */
export const engineRequests = (log: string): string[] =>
  [...log.matchAll(requestLine)].map(([, url = '']) => url);
