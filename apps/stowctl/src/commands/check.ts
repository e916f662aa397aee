import { cleanLines, cleanText, type Finding } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { examine, type Examination } from '../doctor/examine';
import { failureText } from '../failure-text';
import { UsageError } from '../failures';

export const checkFormats = ['nagios', 'prometheus', 'json'] as const;

/** As monitoring plugins have it: 3 where nothing could be looked at. */
const states = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const;

/** `stowctl check`: the findings of doctor for monitoring, with 0, 1, 2 or 3 as exit code. */
export async function check(call: Call): Promise<number> {
  const { flags, out, signal } = call;
  const format = flags.text('format') ?? 'nagios';
  let examined: Examination;
  try {
    examined = await examine(call);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UsageError) throw error;
    const { message } = failureText(error);
    out.text(render(format, 3, [], message));
    return 3;
  }
  const { findings } = examined;
  const code = findings.some(({ level }) => level === 'critical') ? 2 : findings.length > 0 ? 1 : 0;
  out.text(render(format, code, findings, `${examined.statuses.length} nodes looked at`));
  return code;
}

function render(
  format: string,
  code: number,
  findings: readonly Finding[],
  otherwise: string,
): string {
  switch (format) {
    case 'json':
      return cleanLines(
        JSON.stringify({ state: states[code], findings, message: otherwise }, null, 2),
      );
    case 'prometheus':
      return prometheus(code, findings);
    default:
      return nagios(code, findings, otherwise);
  }
}

const lineOf = ({ id, node, subject, problem }: Finding): string =>
  `${node === undefined ? '' : `${node}: `}${id}: ${subject}: ${problem}`;

/** One line, then one for each finding; `|` would begin the figures. */
function nagios(code: number, findings: readonly Finding[], otherwise: string): string {
  const [first] = findings;
  const critical = findings.filter(({ level }) => level === 'critical').length;
  const text = first === undefined ? otherwise : lineOf(first);
  const more = findings.length > 1 ? ` (and ${findings.length - 1} more)` : '';
  const figures = `critical=${critical} warning=${findings.length - critical}`;
  const plain = (line: string): string => cleanText(line).replaceAll('|', '/');
  return [
    `STOWAGE ${states[code] ?? 'UNKNOWN'} - ${plain(text)}${more} | ${figures}`,
    ...findings.slice(1).map((one) => plain(lineOf(one))),
  ].join('\n');
}

const label = (text: string): string =>
  cleanText(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"');

/** For the textfile collector of node_exporter. */
function prometheus(code: number, findings: readonly Finding[]): string {
  return [
    '# HELP stowage_check_state What stowctl check found: 0 nothing, 1 warnings, 2 something critical, 3 nothing could be asked.',
    '# TYPE stowage_check_state gauge',
    `stowage_check_state ${code}`,
    '# HELP stowage_check_finding A finding of stowctl check, by its word.',
    '# TYPE stowage_check_finding gauge',
    ...findings.map(
      ({ id, level, node = '', subject }) =>
        `stowage_check_finding{finding="${id}",level="${level}",node="${label(node)}",subject="${label(subject)}"} 1`,
    ),
  ].join('\n');
}
