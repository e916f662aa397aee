import type { MatrixResult, Versions } from './results';

/**
 * Cells of a table in Markdown, with columns as wide as the formatter of this repository makes
 * them.
 */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('');
}

const head = [
  'name',
  'system',
  'runtime',
  'OCI runtime',
  'Docker Engine',
  'NATS',
  'Node.js',
  'kernel',
  'passed',
  'failed',
  'known',
  'demo',
  'critest',
  'date',
  'commit',
];

const runtimeOf = ({ containerd, crio }: Versions): string =>
  crio === undefined ? `containerd ${containerd}` : `CRI-O ${crio}`;

const row = ({ versions: v, known, ...result }: MatrixResult): string[] => [
  `\`${result.name}\``,
  v.system,
  runtimeOf(v),
  v.crun === undefined ? `runc ${v.runc}` : `crun ${v.crun}`,
  v.docker ?? '',
  v.nats,
  v.node,
  v.kernel,
  String(result.passed),
  String(result.failed),
  String(known.length),
  result.demo,
  result.critest,
  result.date,
  result.commit.slice(0, 12),
];

/** The whole table. */
export const resultsTable = (results: readonly MatrixResult[]): string =>
  markdownTable(head, results.map(row));

/** Known differences with their reasons; empty where there are none. */
export function differencesList(results: readonly MatrixResult[]): string {
  const names = new Map<string, Set<string>>();
  for (const { name, known } of results) {
    for (const { test, reason } of known) {
      const line = `${test}: ${reason}`;
      names.set(line, (names.get(line) ?? new Set()).add(name));
    }
  }
  return [...names]
    .map(([line, of]) => `- ${[...of].map((name) => `\`${name}\``).join(', ')}: ${line}\n`)
    .join('');
}

/** `docs/tested-versions.md` */
export function testedVersions(results: readonly MatrixResult[]): string {
  const differences = differencesList(results);
  return `# Tested versions

What \`npm run matrix\` has last seen for each name: all unit and integration tests and the demo, and where critest is installed the CRI
validation specs through each socket against containerd itself. A name that starts with \`debian\` is a suite of Debian with its own
packages, one that starts with \`node\` is that line of Node.js on the stack of the machine, one that starts with \`crio\` is the integration tests of
the three services on a CRI-O, without demo and critest: \`crio-runc\` with pod events, \`crio-crun\` without. Tests of docker-shim run on the
Docker Engine of the table, from 24 on once more with containerd's image store. \`known\` counts failures with a known
reason, and tests that are about what another runtime has.
This file is written by the command ([how to run it](../CONTRIBUTING.md#other-versions)).

${results.length === 0 ? 'Nothing has been run yet.\n' : resultsTable(results)}
## Known differences

${differences === '' ? 'None.\n' : differences}`;
}

const begin = '<!-- tested versions: begin, written by npm run matrix -->';
const end = '<!-- tested versions: end -->';

/**
 * The README with the short table between its marks brought up to date. Throws when the marks are
 * not there.
 */
export function withShortTable(readme: string, results: readonly MatrixResult[]): string {
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md has no lines "${begin}" and "${end}"`);
  const rows = results.map(({ versions: v, ...result }) => [
    v.system,
    runtimeOf(v),
    v.docker ?? '',
    v.nats,
    v.node,
    [
      `${result.passed} tests passed`,
      ...(result.failed > 0 ? [`${result.failed} failed`] : []),
      ...(result.demo === 'failed' ? ['demo failed'] : []),
      ...(result.critest === 'failed' ? ['critest failed'] : []),
    ].join(', '),
  ]);
  const table = markdownTable(
    ['system', 'runtime', 'Docker Engine', 'NATS', 'Node.js', 'result'],
    rows,
  );
  return `${readme.slice(0, from)}${begin}\n\n${rows.length === 0 ? 'Nothing has been run yet.\n' : table}\n${readme.slice(to)}`;
}
