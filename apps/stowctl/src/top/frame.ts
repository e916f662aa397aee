import type { StowageEvent } from '@stowage/events';
import {
  type Cell,
  eventText,
  sizeText,
  spanText,
  stateCell,
  trendText,
  usedCell,
} from '@stowage/status-view';
import { bar } from '../commands/ensure';
import type { ShownPull } from '../commands/pulls';
import {
  serviceSummaries,
  worstState,
  type NodeStatus,
  type ServiceSummary,
} from '../services/node-status';
import { barLegend, diskBar, type Disk } from './disk-bar';
import { beginOf, endOf, type Line } from './line';

/** The smallest terminal that the view fits into. */
export const smallest = { columns: 80, rows: 24 };

/** Everything that the view shows. */
export interface TopState {
  readonly nodes: readonly string[];
  /** Of the nodes that have been asked so far. */
  readonly statuses: readonly NodeStatus[];
  /** Those that wait or run. */
  readonly pulls: readonly ShownPull[];
  /** Why the pulls of a node are not known; the same words where the same is wrong. */
  readonly pullProblems: readonly { readonly node: string; readonly problem: string }[];
  /** Whether every node has said which pulls it has, or cannot. */
  readonly arePullsKnown: boolean;
  /** Oldest first. */
  readonly events: readonly StowageEvent[];
  /** Why events are not known. */
  readonly eventsProblem?: string;
  /** When all nodes had last been asked, Unix milliseconds. */
  readonly askedAt?: number;
}

export interface TopSize {
  readonly columns: number;
  readonly rows: number;
}

/** Age of the answers from which the view says so, milliseconds. */
const staleMs = 10_000;

/** The lines of the screen, as many as it has rows. */
export function frame(state: TopState, size: TopSize, now: number): Line[] {
  const { columns, rows } = size;
  if (columns < smallest.columns || rows < smallest.rows) {
    const text = `${columns}x${rows} is too small for top: it needs ${smallest.columns}x${smallest.rows}`;
    return filled([[text]], rows);
  }
  const services = serviceLines(state, columns);
  const disks = diskLines(state, columns);
  const pulls = pullLines(state, columns);
  // The header and four titles are always there.
  const events = eventLines(state, columns);
  const body = rows - 5;
  const leastEvents = Math.max(3, Math.floor(body / 4));
  const [forServices = 0, forDisks = 0, forPulls = 0] = shares(
    [services.length, disks.length, pulls.length],
    body - leastEvents,
  );
  const top = [
    header(state, columns, now),
    title('SERVICES'),
    ...cut(services, forServices),
    title('DISKS', barLegend),
    ...cut(disks, forDisks),
    title('PULLS'),
    ...cut(pulls, forPulls),
    title('EVENTS'),
  ];
  const forEvents = rows - top.length;
  return filled([...top, ...events.slice(-forEvents)], rows);
}

const filled = (lines: readonly Line[], rows: number): Line[] =>
  Array.from({ length: rows }, (_, row) => lines[row] ?? []);

const title = (text: string, more = ''): Line => [
  { text: text.padEnd(10), tone: 'strong' },
  { text: more, tone: 'dim' },
];

/** Lines of each section when there are not enough for all: the largest give first. */
export function shares(wanted: readonly number[], available: number): number[] {
  const given = [...wanted];
  let sum = given.reduce((a, b) => a + b, 0);
  while (sum > available) {
    const largest = given.indexOf(Math.max(...given));
    if ((given[largest] ?? 0) <= 1) break;
    given[largest] = (given[largest] ?? 0) - 1;
    sum -= 1;
  }
  return given;
}

/** The first lines, and how many are not shown. */
function cut(lines: readonly Line[], count: number): Line[] {
  if (lines.length <= count) return [...lines];
  const shown = lines.slice(0, Math.max(0, count - 1));
  return [...shown, [{ text: ` ... ${lines.length - shown.length} more lines`, tone: 'dim' }]];
}

function header({ nodes, askedAt }: TopState, columns: number, now: number): Line {
  const [node = '-'] = nodes;
  const what = nodes.length === 1 ? node : `${nodes.length} nodes`;
  const left = `stowctl top  ${what}`;
  const time = new Date(now).toISOString().slice(11, 19);
  const ageMs = askedAt === undefined ? 0 : now - askedAt;
  const age = ageMs > staleMs ? `answers are ${spanText(ageMs)} old  ` : '';
  const right = `${time} UTC  q quits`;
  const space = columns - age.length - right.length - 2;
  return [
    { text: beginOf(left, space), tone: 'strong' },
    '  ',
    { text: age, tone: 'warning' },
    { text: right, tone: 'dim' },
  ];
}

const rank = ['down', 'absent', 'degraded', 'unknown', 'ok'];

/** A line for each service of a single node, or for each of several nodes, the worst first. */
function serviceLines({ nodes, statuses }: TopState, columns: number): Line[] {
  if (statuses.length === 0) return [[{ text: ' asking ...', tone: 'dim' }]];
  const [only] = statuses;
  if (nodes.length === 1 && only !== undefined) {
    return serviceSummaries(only).map((service) => [
      ` ${service.app.padEnd(16)} `,
      padded(stateCell(service.state), 9),
      ` ${service.detail}`,
    ]);
  }
  const width = nameWidth(nodes, columns);
  return statuses
    .map((status) => ({ status, services: serviceSummaries(status) }))
    .toSorted((a, b) => stateRank(a.status) - stateRank(b.status))
    .map(({ status, services }) => {
      const there = services.filter(({ state }) => state !== 'absent').length;
      return [
        ` ${endOf(status.node, width)} `,
        padded(stateCell(worstState(status)), 9),
        ` ${there}/${services.length}  ${troubles(services)}`,
      ];
    });
}

const stateRank = (status: NodeStatus): number => rank.indexOf(worstState(status));

const troubles = (services: readonly ServiceSummary[]): string =>
  services
    .filter(({ state }) => state !== 'ok')
    .map(({ app, state, detail }) => `${app} ${state}: ${detail}`)
    .join('; ');

const padded = (cell: Cell, width: number): Cell =>
  typeof cell === 'string'
    ? cell.padEnd(width)
    : { text: cell.text.padEnd(width), tone: cell.tone };

/** Columns of node names, where they stand in front of each line. */
const nameWidth = (nodes: readonly string[], columns: number): number =>
  Math.min(Math.floor(columns / 4), Math.max(...nodes.map((node) => node.length)));

/** Two lines for each disk, the fullest first. */
function diskLines({ nodes, statuses }: TopState, columns: number): Line[] {
  const disks = statuses.flatMap(({ node, gc: { reply } }) =>
    (reply?.disks ?? []).map((disk) => ({ node, disk, policy: reply?.policy })),
  );
  if (disks.length === 0) {
    const problem = statuses
      .map(({ gc }) => gc.reply?.diskProblem ?? gc.error)
      .find((text) => text !== undefined);
    return [[{ text: ` not known${problem === undefined ? '' : `: ${problem}`}`, tone: 'dim' }]];
  }
  return disks
    .toSorted((a, b) => b.disk.usedPercent - a.disk.usedPercent)
    .flatMap(({ node, disk, policy }): Line[] => {
      const name = nodes.length === 1 ? disk.mountpoint : `${node} ${disk.mountpoint}`;
      const parts = breakdownText(disk);
      const width = Math.max(20, Math.min(80, columns - 4 - parts.length));
      const facts = diskFacts(disk);
      const space = Math.max(20, columns - 8 - facts.length);
      return [
        [` ${endOf(name, space)} `, usedCell(disk), facts],
        policy === undefined
          ? []
          : ['  ', ...diskBar(disk, policy, width), { text: ` ${parts}`, tone: 'dim' }],
      ];
    });
}

function diskFacts(disk: Disk): string {
  const { capacityBytes, availableBytes, trend } = disk;
  const full = trend.bytes?.timeToFullMs;
  return [
    ` of ${sizeText(capacityBytes)}`,
    `${sizeText(availableBytes)} free`,
    ...(trend.bytes === undefined ? [] : [trendText(disk)]),
    ...(full === undefined ? [] : [`full in ${spanText(full)}`]),
  ].join(', ');
}

/** What the bar shows, in numbers. */
function breakdownText({ breakdown }: Disk): string {
  if (breakdown === undefined) return '';
  const { imageBytes, containerBytes, otherBytes } = breakdown;
  return [imageBytes, containerBytes, otherBytes].map(sizeText).join(' + ');
}

/** A line for each pull, the one that was asked for first on top; then what is not known. */
function pullLines(
  { nodes, pulls, pullProblems, arePullsKnown }: TopState,
  columns: number,
): Line[] {
  const problems = pullProblemLines(pullProblems, nodes.length);
  if (pulls.length > 0) {
    return [...pulls.map((pull) => pullLine(pull, nodes.length, columns)), ...problems];
  }
  if (problems.length > 0) return problems;
  return [[{ text: arePullsKnown ? ' nothing is being pulled' : ' asking ...', tone: 'dim' }]];
}

function pullLine(pull: ShownPull, nodeCount: number, columns: number): Line {
  const { node, reference, state, percent, bytes, totalBytes, bytesPerSecond, remainingMs } = pull;
  const whole = totalBytes === undefined ? '' : ` of ${sizeText(totalBytes)}`;
  const facts = [
    bytes === undefined ? '' : `${pull.approximate === true ? '~' : ''}${sizeText(bytes)}${whole}`,
    bytesPerSecond === undefined ? '' : `${sizeText(Math.round(bytesPerSecond))}/s`,
    remainingMs === undefined ? '' : `${spanText(remainingMs)} left`,
  ]
    .filter((fact) => fact !== '')
    .join('  ');
  const name = nodeCount === 1 ? reference : `${node} ${reference}`;
  const width = columns < 120 ? 10 : 24;
  const progress = (state === 'waiting' ? 'waiting' : bar(percent, width)).padEnd(width + 3);
  const share = percent === undefined ? '    ' : `${String(percent).padStart(2)} %`;
  const space = columns - progress.length - share.length - facts.length - 4;
  return [
    ' ',
    { text: progress, tone: state === 'waiting' ? 'dim' : 'good' },
    `${share} `,
    ` ${endOf(name, Math.max(12, space))} `,
    { text: facts, tone: 'dim' },
  ];
}

/** A line for each thing that is wrong, with the nodes where it is. */
function pullProblemLines(problems: TopState['pullProblems'], nodeCount: number): Line[] {
  const nodesOf = new Map<string, string[]>();
  for (const { node, problem } of problems) {
    nodesOf.set(problem, [...(nodesOf.get(problem) ?? []), node]);
  }
  return [...nodesOf].map(([problem, [first = '', ...others]]) => {
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    const where = nodeCount === 1 ? '' : ` on ${first}${more}`;
    return [{ text: ` not known${where}: ${problem}`, tone: 'warning' }];
  });
}

/** A line for each event. On a wide screen with its name. */
function eventLines({ nodes, events, eventsProblem }: TopState, columns: number): Line[] {
  const lines = events.map((event): Line => {
    const { text, tone } = eventText(event);
    const time = event.time.toISOString().slice(11, 19);
    return [
      { text: ` ${time} `, tone: 'dim' },
      ...(nodes.length === 1 ? [] : [`${endOf(event.node, nameWidth(nodes, columns))} `]),
      ...(columns < 120 ? [] : [{ text: `${event.name.padEnd(25)} `, tone }]),
      { text, tone },
    ];
  });
  if (eventsProblem !== undefined) lines.push([{ text: ` ${eventsProblem}`, tone: 'bad' }]);
  else if (lines.length === 0) lines.push([{ text: ' none yet', tone: 'dim' }]);
  return lines;
}
