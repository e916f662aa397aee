/**
 * Folder of Debian's own suites that this machine's apt reads from, without a slash at its end;
 * undefined where it reads none.
 */
export function debianMirror(files: readonly AptSources[], codename: string): string | undefined {
  const sources = files
    .flatMap(({ name, text }) => (name.endsWith('.sources') ? deb822(text) : oneLine(text)))
    .filter(({ types, components }) => types.includes('deb') && components.includes('main'))
    // Others offer suites of the same names: only Debian's own folder has this name.
    .filter(({ uri }) => /^(https?|file|mirror\+https?):.*\/debian$/.test(uri));
  const ofRelease = sources.find(({ suites }) => suites.includes(codename));
  return (ofRelease ?? sources.find(({ suites }) => suites.some(isSuite)))?.uri;
}

/** A file of apt's list of sources. */
export interface AptSources {
  readonly name: string;
  readonly text: string;
}

interface Source {
  types: string[];
  uri: string;
  suites: string[];
  components: string[];
}

const isSuite = (suite: string): boolean =>
  ['stable', 'oldstable', 'testing', 'unstable', 'sid'].includes(suite);

const words = (text = ''): string[] => text.split(/\s+/).filter(Boolean);
const withoutSlash = (uri: string): string => uri.replace(/\/+$/, '');

/** `deb [option=value ...] URI SUITE COMPONENT ...`, one a line (sources.list(5)). */
function oneLine(text: string): Source[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.replace(/#.*/, '').replace(/\[[^\]]*\]/, ' ');
    const [type = '', uri = '', suite = '', ...components] = words(fields);
    if (type === '') return [];
    return [{ types: [type], uri: withoutSlash(uri), suites: [suite], components }];
  });
}

/** Paragraphs of `Key: value` with continued lines, comments among them. */
function deb822(text: string): Source[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap((paragraph) => {
      const fields = new Map<string, string>();
      for (const field of paragraph.split(/\n(?=\S)/)) {
        const at = field.indexOf(':');
        if (at > 0) fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
      }
      if (fields.get('enabled')?.trim().toLowerCase() === 'no') return [];
      return words(fields.get('uris')).map((uri) => ({
        types: words(fields.get('types')),
        uri: withoutSlash(uri),
        suites: words(fields.get('suites')),
        components: words(fields.get('components')),
      }));
    });
}
