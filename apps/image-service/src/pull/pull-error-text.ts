/**
 * What a runtime's text about a failed pull says about the request, apart from the names in it.
 * Repositories, tags, digests, hosts and ports are chosen by users: `team/forbidden`, the tag `401`
 * and the port 429 say nothing about what happened. No name holds white space, so words are judged
 * one by one, and where a runtime writes a bare name the words around it show it.
 */
export interface PullErrorText {
  /** The text with `~` in place of each name. */
  readonly words: string;
  /** Status of the registry's HTTP answer, the last one in the text. */
  readonly httpStatus?: number;
  /** Error code in a JSON body, as the distribution specification has them: `MANIFEST_UNKNOWN`. */
  readonly registryCode?: string;
}

/** Words that look like a name and are none. */
const noNames = new Set([
  'i/o',
  'input/output',
  'net/http',
  'archive/tar',
  'username/password',
  'client.timeout',
  'text/html',
  'text/plain',
]);

/**
 * Where runtimes and registries write a name without quotation marks and without anything that
 * shows it. `$1` and `$2` stay.
 */
const bareNames: readonly RegExp[] = [
  // containerd until 1.7: "unexpected status code [manifests 1.0]: 404 Not Found"
  /(\[(?:manifests|blobs)) [^\]]*(\])/gi,
  // containers/image: "reading manifest 1.0 in registry.example/app: manifest unknown"
  /(\breading (?:manifest|digest|blob)|\bdownloading signatures for) \S+( in )/gi,
  // containers/image: "pinging container registry localhost: Get …", "registry localhost is blocked
  // in …"
  /(\bpinging container registry) [^\s:]+(:)/gi,
  /(\bregistry) \S+( is blocked\b)/gi,
  // containerd until 1.5: "pulling from host localhost failed with status code …"
  /(\bpulling from host) \S+( failed)/gi,
  // Docker: "manifest for app:1.0 not found", "pull access denied for app, repository does not
  // exist …"
  /(\bmanifest for) \S+( not found)/gi,
  /(\bpull access denied for) [^\s,]+(,)/gi,
  // Go's resolver: "lookup registry on 127.0.0.53:53: no such host"
  /(\blookup) [^\s:]+(:| on )/gi,
  // containerd: "snapshotter not registered: stargz: not found", "snapshotter stargz was not found"
  /(\bsnapshotter not registered:) [^\s:]+()/gi,
  /(\bsnapshotter) \S+( was not found)/gi,
  // Registries: "project shop not found", "project not found, name: shop", "… repository: shop,
  // action: pull"
  /(\b(?:project|repository|artifact|image|tag|manifest|namespace)) (?!name\b)[^\s:]+( (?:was |is |could )?not (?:be )?found)/gi,
  /(, name:) [^\s,:]+()/gi,
  /(\brepository:) [^\s,:]+(, action)/gi,
];

/** Words that alone make a class, and so must not come from a name. */
const decisiveWords = /^(?:unauthorized|forbidden|toomanyrequests|denied|insufficient_scope)$/i;

/** Reads a text; `reference` is the image that was asked for. */
export function readPullErrorText(text: string, reference = ''): PullErrorText {
  const primary = withoutOtherAttempts(bounded(text));
  let bare = primary;
  for (const pattern of bareNames) bare = bare.replace(pattern, '$1 ~$2');
  const words = bare
    .replace(/\\?(["'])[^"'\s\\]*\\?\1/g, '~')
    .replace(/\S+/g, (word) => withoutName(word));
  return {
    words: withoutWordsOf(reference, words),
    httpStatus: httpStatusOf(words, primary),
    registryCode: /\\?"code\\?"\s*:\s*\\?"([A-Za-z_]+)\\?"/.exec(primary)?.[1]?.toUpperCase(),
  };
}

/**
 * Longest text that is looked at; a registry's page may be longer. The beginning and the end of a
 * longer one count.
 */
const maxTextLength = 32 * 1024;

const bounded = (text: string): string =>
  text.length <= maxTextLength
    ? text
    : `${text.slice(0, maxTextLength / 2)} … ${text.slice(-maxTextLength / 2)}`;

/**
 * Mirrors are tried before the registry itself, artifacts after the image: what is said of these is
 * not why the image did not come.
 */
function withoutOtherAttempts(text: string): string {
  return text
    .replace(/\(Mirrors also failed: [^]*\]\): /g, '')
    .replace(/; artifact err: [^]*$/, '')
    .replace(/^([^]*\bpull image err: )/, '');
}

/**
 * `~` for a word that is a URL, path, reference, digest, host name, address or file, with the
 * punctuation around it.
 */
function withoutName(word: string): string {
  let end = word.length;
  while (end > 0 && `)"']}>,;:.!?`.includes(word.charAt(end - 1))) end -= 1;
  const [before = ''] = /^[("'[{<]*/.exec(word.slice(0, end)) ?? [];
  const core = word.slice(before.length, end);
  if (noNames.has(core.toLowerCase()) || isMarkup(word)) return word;
  return /\/|@|\w[.:]\w|::/.test(core) && !/^(?:status|code|statuscode|http|error)[:=]/i.test(core)
    ? `${before}~${word.slice(end)}`
    : word;
}

/** JSON and HTML of a body, which have no white space to part their words. */
const isMarkup = (word: string): boolean => /<|[^-]>|\{\\?"|\\?":/.test(word);

/**
 * A decisive word is left out where it may be a part of the name; a code at the beginning of what a
 * registry says is none.
 */
function withoutWordsOf(reference: string, words: string): string {
  const parts = new Set(reference.split(/[/:@.]/).filter((part) => decisiveWords.test(part)));
  if (parts.size === 0) return words;
  return words.replace(/(?<!(?:^|: |\n))\b\w+\b/g, (word, at: number) =>
    parts.has(word) && !/access (?:was )?$/.test(words.slice(0, at)) ? '~' : word,
  );
}

const reasons =
  'Bad Request|Unauthorized|Payment Required|Forbidden|Not Found|Method Not Allowed|Proxy Authentication Required|Request Time-?out|Gone|Precondition Failed|Too Many Requests|Unavailable For Legal Reasons|Internal Server Error|Not Implemented|Bad Gateway|Service Unavailable|Service Temporarily Unavailable|Gateway Time-?out|<none>';

/**
 * Where a text has an HTTP status: behind the word, or before its reason. Numbers elsewhere are
 * part of something.
 */
const httpStatuses: readonly RegExp[] = [
  /\bstatus(?: ?code)?(?: returned when [a-z ]+?| from [a-z]+ request to ~| from registry| ~| \[(?:manifests|blobs) ~\])?\s*[:=]?\s*\(?(\d{3})\b(?!\.\d)/gi,
  /\bHTTP(?:\/[\d.]+)? (?:status|error|code|response)?(?: code)?:?\s*(\d{3})\b/gi,
  new RegExp(`\\b(\\d{3}) \\(?(?:${reasons})`, 'gi'),
];

const statusInJson = /\\?"(?:status|statusCode|code)\\?"\s*:\s*\\?"?(\d{3})\b/gi;

/** Of those found in one way the last counts: texts have attempts in their order. */
function httpStatusOf(words: string, text: string): number | undefined {
  for (const matches of [
    ...httpStatuses.map((pattern) => [...words.matchAll(pattern)]),
    [...text.matchAll(statusInJson)],
  ]) {
    const status = Number(matches.at(-1)?.[1]);
    if (status >= 400 && status <= 599) return status;
  }
  return undefined;
}
