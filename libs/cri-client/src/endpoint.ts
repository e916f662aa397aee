import { StowageError } from '@stowage/errors';
import { quoteGo } from './go-text';

/** An invalid option of a client. The message is kubelet's own where kubelet has one. */
export class CriOptionsError extends StowageError {
  constructor(
    readonly option: 'endpoint' | 'timeoutMs',
    message: string,
  ) {
    super(message, { code: 'CRI_OPTIONS_INVALID', grpcStatus: 'INVALID_ARGUMENT' });
  }
}

/** Where an endpoint leads. */
export interface ParsedEndpoint {
  /**
   * Path of the unix socket. Empty for some endpoints that kubelet accepts without an error
   * although nothing can be reached there: `x.sock`, `unix:run/x.sock`, `127.0.0.1:1234`,
   * `@abstract`, and the empty string.
   */
  readonly address: string;
  /** True when the endpoint was a bare path, which kubelet calls deprecated. */
  readonly isBarePath: boolean;
}

/**
 * Socket path of a CRI endpoint, by kubelet's rules for unix builds: the path of a `unix` URL (its
 * host, query and fragment are dropped, percent-escapes decoded); what has no scheme, or is no URL
 * at all, is tried again with `unix://` in front. So `run/x.sock` and `unix://run/x.sock` both mean
 * `/x.sock`. Throws CriOptionsError with kubelet's text for any other scheme and for what does not
 * parse either way.
 */
export function parseEndpoint(endpoint: string): ParsedEndpoint {
  let split = splitEndpoint(endpoint);
  const isBarePath = split.error !== undefined && split.protocol === '';
  if (isBarePath) split = splitEndpoint(`unix://${endpoint}`);
  if (split.error !== undefined) throw new CriOptionsError('endpoint', split.error);
  if (split.protocol !== 'unix') {
    throw new CriOptionsError('endpoint', 'only support unix socket endpoint');
  }
  return { address: split.address, isBarePath };
}

/** Protocol and address of an endpoint; `error` (kubelet's text) when there is no address. */
export interface SplitEndpoint {
  readonly protocol: string;
  readonly address: string;
  readonly error?: string;
}

/** First step of {@link parseEndpoint}: splits the URL, without the second try. Never throws. */
export function splitEndpoint(endpoint: string): SplitEndpoint {
  const url = parseGoUrl(endpoint);
  if ('error' in url) return { protocol: '', address: '', error: url.error };
  switch (url.scheme) {
    case 'unix':
      return { protocol: 'unix', address: url.path };
    case 'tcp':
      return { protocol: 'tcp', address: url.host };
    case '':
      return {
        protocol: '',
        address: '',
        error: `using ${quoteGo(endpoint)} as endpoint is deprecated, please consider using full url format`,
      };
    default:
      return {
        protocol: url.scheme,
        address: '',
        error: `protocol ${quoteGo(url.scheme)} not supported`,
      };
  }
}

/**
 * The target that kubelet (from 1.36) passes to its gRPC library for an address, to set up other Go
 * clients the same way.
 */
export function grpcTarget(address: string): string {
  const path = address.startsWith('unix:///') ? address.slice('unix://'.length) : address;
  return path.startsWith('/') ? `passthrough:///${path}` : path;
}

interface GoUrl {
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
}

class GoUrlError extends Error {}

/**
 * Splits a URL as Go's net/url does, which in some places is laxer than the WHATWG parser of `URL`
 * and in others stricter.
 */
function parseGoUrl(text: string): GoUrl | { readonly error: string } {
  const [withoutFragment, fragment] = cut(text, '#');
  const failed = (url: string, error: unknown) => ({
    error: `parse ${quoteGo(url)}: ${(error as Error).message}`,
  });
  let url: GoUrl;
  try {
    url = parseWithoutFragment(withoutFragment);
  } catch (error) {
    return failed(withoutFragment, error);
  }
  try {
    unescape(fragment);
  } catch (error) {
    return failed(text, error);
  }
  return url;
}

function parseWithoutFragment(text: string): GoUrl {
  if (/[\x00-\x1f\x7f]/.test(text)) {
    throw new GoUrlError('net/url: invalid control character in URL');
  }
  const [scheme, afterScheme] = cutScheme(text);
  let [rest] = cut(afterScheme, '?');
  if (!rest.startsWith('/')) {
    if (scheme !== '') return { scheme, host: '', path: '' };
    if (cut(rest, '/')[0].includes(':')) {
      throw new GoUrlError('first path segment in URL cannot contain colon');
    }
  }
  let host = '';
  if (rest.startsWith('//') && (scheme !== '' || !rest.startsWith('///'))) {
    const end = rest.indexOf('/', 2);
    const authority = end < 0 ? rest.slice(2) : rest.slice(2, end);
    rest = end < 0 ? '' : rest.slice(end);
    host = hostOf(authority);
  }
  return { scheme, host, path: unescape(rest) };
}

function cutScheme(text: string): [scheme: string, rest: string] {
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*)?:/.exec(text);
  if (match == null) return ['', text];
  if (match[1] === undefined) throw new GoUrlError('missing protocol scheme');
  return [match[1].toLowerCase(), text.slice(match[0].length)];
}

function hostOf(authority: string): string {
  const at = authority.lastIndexOf('@');
  const host = unescapeHost(authority.slice(at + 1));
  if (at >= 0) {
    const userInfo = authority.slice(0, at);
    if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(userInfo)) {
      throw new GoUrlError('net/url: invalid userinfo');
    }
    unescape(userInfo);
  }
  return host;
}

function unescapeHost(host: string): string {
  let port = '';
  if (host.startsWith('[')) {
    const bracket = host.lastIndexOf(']');
    if (bracket < 0) throw new GoUrlError("missing ']' in host");
    port = host.slice(bracket + 1);
  } else if (host.includes(':')) {
    port = host.slice(host.lastIndexOf(':'));
  }
  if (!/^(:[0-9]*)?$/.test(port)) throw new GoUrlError(`invalid port ${quoteGo(port)} after host`);
  // In a host only bytes outside ASCII, and the percent sign itself, may be escaped.
  const escaped = /%(?!25)[0-7][0-9A-Fa-f]/.exec(host);
  if (escaped != null) throw new GoUrlError(`invalid URL escape ${quoteGo(escaped[0])}`);
  const decoded = unescape(host);
  const odd = /[ \\^`{|}]/.exec(host);
  if (odd != null) throw new GoUrlError(`invalid character ${quoteGo(odd[0])} in host name`);
  return decoded;
}

/** Decodes percent-escapes, as bytes of UTF-8. */
function unescape(text: string): string {
  const wrong = /%(?![0-9A-Fa-f]{2}).{0,2}/su.exec(text);
  if (wrong != null) throw new GoUrlError(`invalid URL escape ${quoteGo(wrong[0])}`);
  return text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
    Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'),
  );
}

/** Text before and after the first separator; the second part is empty without one. */
function cut(text: string, separator: string): [before: string, after: string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}
