import * as z from 'zod';
import { parseGoDuration, shortGoDuration } from '@stowage/go-duration';
import { formatByteSize, parseByteSize } from './byte-size';
import { maxSocketPathBytes, parseListenAddress, parseSocketPath } from './listen-address';

/** What a default may depend on. */
export interface DefaultContext {
  readonly app: string;
  /** Host name as the system says it. */
  readonly hostName: string;
  /** Final value of another key; it must stand before this one in the definition. */
  value(name: string): unknown;
}

/**
 * How one key is read, checked, defaulted and shown. Made by {@link key} and the builders beside
 * it.
 */
export interface ConfigKey<T> {
  /** Takes the raw value (YAML as it is, environment through `fromText`), gives the final one. */
  readonly schema: z.ZodType<T>;
  /** Completes "allowed: …" in the error line. */
  readonly allowed: string;
  /** One sentence for --help and docs. */
  readonly meaning: string;
  readonly default: T | ((context: DefaultContext) => T);
  /** Stands for the default in --help and docs where it depends on the machine. */
  readonly defaultText?: string;
  /**
   * Key in the YAML file; else the property name without a closing `Ms` (`stopTimeoutMs` →
   * `stopTimeout`).
   */
  readonly yaml?: string;
  /** Environment variable; else STOWAGE_ and the YAML key in upper snake case. */
  readonly env?: string;
  /**
   * `node`: may also stand at the top of the file, for all apps of the node. `app`: only in the
   * app's section.
   */
  readonly scope: 'node' | 'app';
  /**
   * Key of a KubeletConfiguration that gives this value; `read` turns kubelet's value into ours.
   */
  readonly kubelet?: KubeletKey;
  /** The value is never printed. */
  readonly secret: boolean;
  /**
   * A text of the raw value as errors quote it, where it may hold a secret; else what looks like a
   * login is left out.
   */
  readonly withoutSecrets?: (text: string) => string;
  /** Raw value of an environment variable's text. */
  readonly fromText: (text: string) => unknown;
  /** The value as --check-config prints it. */
  readonly print: (value: T) => unknown;
}

/** Where a key stands in kubelet's own file. */
export interface KubeletKey {
  readonly key: string;
  readonly kind: 'string' | 'number' | 'boolean' | 'list';
  /** Kubelet reads 0 (or an empty string) as "use the default" for this key. */
  readonly zeroIsUnset?: boolean;
}

type Optional<T> = Pick<
  ConfigKey<T>,
  'meaning' | 'default' | 'defaultText' | 'yaml' | 'env' | 'kubelet'
> &
  Partial<Pick<ConfigKey<T>, 'scope' | 'secret'>>;

/** Options that every builder takes. */
export type KeyOptions<T> = Optional<T>;

/** A key with a schema of the caller's own. */
export function key<T>(
  options: KeyOptions<T> &
    Pick<ConfigKey<T>, 'schema' | 'allowed'> &
    Partial<Pick<ConfigKey<T>, 'fromText' | 'print' | 'withoutSecrets'>>,
): ConfigKey<T> {
  return {
    scope: 'app',
    secret: false,
    fromText: (text) => text,
    print: (value) => value,
    ...options,
  };
}

/** Runs a parser over a string; undefined from it is a wrong value. */
function parsed<T>(parse: (text: string) => T | undefined): z.ZodType<T> {
  return z.string().transform((text, context) => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: 'not allowed' });
    return z.NEVER;
  });
}

/** Any text; `pattern` and `allowed` narrow it. */
export function stringKey(
  options: KeyOptions<string> & { pattern?: RegExp; allowed?: string },
): ConfigKey<string> {
  return key({
    ...options,
    schema: options.pattern === undefined ? z.string() : z.string().regex(options.pattern),
    allowed: options.allowed ?? 'any text',
  });
}

/** A whole number from `min` to `max`. */
export function integerKey(
  options: KeyOptions<number> & { min: number; max: number },
): ConfigKey<number> {
  return key({
    ...options,
    schema: z.int().min(options.min).max(options.max),
    allowed: `a whole number from ${options.min} to ${options.max}`,
    fromText: (text) => (/^[+-]?\d+$/.test(text.trim()) ? Number(text) : text),
  });
}

/** `true` or `false` (in the environment also 1, 0, yes, no, on, off). */
export function booleanKey(options: KeyOptions<boolean>): ConfigKey<boolean> {
  const words: Readonly<Record<string, boolean>> = {
    true: true,
    false: false,
    '1': true,
    '0': false,
    yes: true,
    no: false,
    on: true,
    off: false,
  };
  return key({
    ...options,
    schema: z.boolean(),
    allowed: 'true or false',
    fromText: (text) => words[text.trim().toLowerCase()] ?? text,
  });
}

/** One of `values`. */
export function enumKey<const T extends string>(
  options: KeyOptions<NoInfer<T>> & { values: readonly T[] },
): ConfigKey<T> {
  return key<T>({
    ...options,
    schema: z.enum(options.values),
    allowed: options.values.join(', '),
  });
}

/** A duration in Go's notation; the value is milliseconds, so the property's name ends in `Ms`. */
export function durationKey(
  options: KeyOptions<number> & { minMs: number; maxMs: number },
): ConfigKey<number> {
  const { minMs, maxMs } = options;
  return key({
    ...options,
    schema: z
      .union([parsed(parseGoDuration), z.literal(0)])
      .refine((value) => value >= minMs && value <= maxMs),
    allowed: `a duration from ${shortGoDuration(minMs)} to ${shortGoDuration(maxMs)}, such as 90s, 2m or 1h30m`,
    print: shortGoDuration,
  });
}

/**
 * A size as a Kubernetes quantity or digits; the value is bytes, so the property's name ends in
 * `Bytes`.
 */
export function byteSizeKey(
  options: KeyOptions<number> & { minBytes: number; maxBytes: number },
): ConfigKey<number> {
  const { minBytes, maxBytes } = options;
  return key({
    ...options,
    schema: z
      .union([parsed(parseByteSize), z.int()])
      .refine((value) => value >= minBytes && value <= maxBytes),
    allowed: `a size from ${formatByteSize(minBytes)} to ${formatByteSize(maxBytes)}, such as 500M, 1Gi or 1048576`,
    print: formatByteSize,
  });
}

/** A list: YAML sequence, or text with commas. Empty items are dropped; `item` checks each. */
export function listKey(
  options: KeyOptions<readonly string[]> & {
    item?: z.ZodType<string, string>;
    allowed: string;
    minItems?: number;
    /** A word that alone stands for the empty list, where an empty text stands for the default. */
    none?: string;
    /** The items of a text; by default it is cut at commas. */
    split?: (text: string) => string[];
    print?: ConfigKey<readonly string[]>['print'];
    withoutSecrets?: ConfigKey<readonly string[]>['withoutSecrets'];
  },
): ConfigKey<readonly string[]> {
  const atCommas = (text: string) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  const { split = atCommas, none } = options;
  const itemsOf = (text: string): string[] => {
    if (none === undefined) return split(text);
    // Nothing is not none: variables are set to nothing by mistake.
    if (text.trim().toLowerCase() === none) return [];
    const items = split(text);
    return items.length === 0 ? [''] : items;
  };
  return key<readonly string[]>({
    ...options,
    schema: z
      .union([z.array(z.string()), z.string().transform(itemsOf)])
      .pipe(
        z.array<z.ZodType<string, string>>(options.item ?? z.string()).min(options.minItems ?? 0),
      ),
    allowed: options.allowed,
  });
}

/** A list of folders by their absolute paths. */
export function dirsKey(options: KeyOptions<readonly string[]>): ConfigKey<readonly string[]> {
  return listKey({
    ...options,
    item: z.string().startsWith('/'),
    allowed: 'absolute paths of folders, separated by commas; empty for none',
  });
}

/** An absolute path of a file or folder; empty means none, where `emptyAllowed`. */
export function pathKey(
  options: KeyOptions<string> & { emptyAllowed?: boolean },
): ConfigKey<string> {
  const emptyAllowed = options.emptyAllowed ?? false;
  return key({
    ...options,
    schema: z
      .string()
      .refine(
        (text) => (text.startsWith('/') && !text.includes('\0')) || (emptyAllowed && text === ''),
      ),
    allowed: `an absolute path${emptyAllowed ? ', or empty for none' : ''}`,
  });
}

/** Path of a unix socket to listen on, with or without `unix://`; the value is the path. */
export function socketPathKey(
  options: KeyOptions<string> & { emptyAllowed?: boolean },
): ConfigKey<string> {
  const emptyAllowed = options.emptyAllowed ?? false;
  return key({
    ...options,
    schema: parsed((text) => (emptyAllowed && text === '' ? '' : parseSocketPath(text))),
    allowed: `an absolute path of at most ${maxSocketPathBytes} bytes, with or without unix://${emptyAllowed ? ', or empty for off' : ''}`,
  });
}

/**
 * CRI endpoint of a runtime: `unix:///path` or a bare absolute path; the value always has
 * `unix://`.
 */
export function endpointKey(options: KeyOptions<string>): ConfigKey<string> {
  return key({
    ...options,
    schema: parsed((text) => {
      const path = parseSocketPath(text);
      return path === undefined ? undefined : `unix://${path}`;
    }),
    allowed: `unix:///path of a socket, at most ${maxSocketPathBytes} bytes of path`,
  });
}

/** Address of an HTTP server, kept as the text it was given; see `parseListenAddress`. */
export function listenAddressKey(options: KeyOptions<string>): ConfigKey<string> {
  return key({
    ...options,
    schema: z.string().refine((text) => text === '' || parseListenAddress(text) !== undefined),
    allowed: 'host:port, [ipv6]:port, :port, unix:///path, or empty for off',
  });
}
