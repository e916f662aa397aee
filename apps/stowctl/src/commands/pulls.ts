import { imageService, type CommandReply } from '@stowage/commands';
import { ageText, type Cell, sizeText, spanText, type Tone } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { PullHistory, pullEvents, type SeenPull } from '../events/pull-history';
import { sinceFlag } from '../events/since';
import { failureText, isCutOff, isNotOffered, isUnanswered, refusalStatus } from '../failure-text';
import { UsageError } from '../failures';
import type { View } from '../output/output';
import { onNodes } from '../transport/on-nodes';
import type { Reach, Transport } from '../transport/reach';
import { bar } from './ensure';
import { watchPulls } from './watch-pulls';

/** Pulls that began longer ago have ended, or make no progress any more. */
const defaultSinceMs = 6 * 3_600_000;

type RunningPull = CommandReply<typeof imageService.pulls>['pulls'][number];

/** A pull as it is shown: as the service has one that runs, or as the events of an ended one. */
export interface ShownPull extends SeenPull {
  readonly since?: string;
  readonly waiters?: RunningPull['waiters'];
  readonly layers?: NonNullable<RunningPull['progress']>['layers'];
}

/** `stowctl pulls`: what is being pulled, and with `--recent` what was. */
export async function pulls(call: Call): Promise<number> {
  const { flags, out } = call;
  if (flags.has('watch')) {
    if (flags.has('recent')) throw new UsageError('--watch and --recent exclude each other');
    return watchPulls(call);
  }
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    runningPulls(transport, node, (problem) =>
      out.note(`${node}: ${problem}; its pulls are shown by their events`),
    ),
  );
  const unasked = results.flatMap(({ node, value }) => (value === undefined ? [node] : []));
  const running = results.flatMap(({ value = [] }) => value);
  const isRecent = flags.has('recent');
  const seen = isRecent || unasked.length > 0 ? await seenPulls(call, reach) : [];
  const past = seen.filter(
    ({ node, state }) => (isRecent && state !== 'running') || unasked.includes(node),
  );
  await out.show(pullsView([...past, ...running], Date.now()));
  return failed > 0 ? 1 : 0;
}

/** Pulls that are going on; undefined where the service is away or cannot say. */
async function runningPulls(
  transport: Transport,
  node: string,
  unknown: (problem: string) => void,
): Promise<ShownPull[] | undefined> {
  try {
    const reply = await transport.send(node, imageService.pulls, {});
    return reply.pulls.map((pull) => shownPull(node, pull));
  } catch (error) {
    if (!isUnanswered(error) && !isNotOffered(error)) throw error;
    unknown(pullsProblem(error));
    return undefined;
  }
}

/** Why the pulls of a node are not known, in words that are the same for every node. */
export function pullsProblem(error: unknown): string {
  if (isUnanswered(error) || isCutOff(error)) return 'image-service does not answer';
  if (!isNotOffered(error)) return failureText(error).message;
  return refusalStatus(error) === 'UNIMPLEMENTED'
    ? 'this image-service is of an earlier release, which cannot say what it pulls'
    : 'image-service does not answer "pulls": add it to its key commands (STOWAGE_COMMANDS)';
}

/** Pulls by the events that there are of them. */
async function seenPulls(call: Call, { transport, nodes, kind }: Reach): Promise<SeenPull[]> {
  const { flags, signal } = call;
  const now = new Date();
  const since = sinceFlag(flags, now) ?? new Date(now.getTime() - defaultSinceMs);
  const wanted = kind === 'nats' && flags.has('all') ? [] : nodes;
  const history = new PullHistory();
  const query = { nodes: wanted, names: pullEvents, since, follow: false, signal };
  for await (const event of transport.events(query)) history.add(event);
  return history.pulls({ isWhole: flags.has('recent') });
}

/** A pull that is going on, as the service says it. */
export function shownPull(node: string, { progress, waiters, ...pull }: RunningPull): ShownPull {
  const { pullId, reference, state, since, startedAt } = pull;
  const [pod] = waiters.flatMap((waiter) => waiter.pod ?? []);
  const began = new Date(startedAt ?? since);
  return {
    ...{ node, pullId, reference, pod, since, waiters },
    state: state === 'waiting' ? 'waiting' : 'running',
    startedAt: began,
    ...progress,
  };
}

/** Pulls as a table, and for programs. */
export function pullsView(found: readonly ShownPull[], now: number): View {
  return {
    data: found,
    tables: [
      {
        columns: [
          { title: 'NODE' },
          { title: 'IMAGE' },
          { title: 'STATE' },
          { title: 'PROGRESS' },
          { title: 'BYTES', align: 'right' },
          { title: 'SPEED', align: 'right' },
          { title: 'LEFT', align: 'right' },
          { title: 'BEGAN', align: 'right' },
          { title: 'FOR' },
          { title: 'LAYERS', align: 'right', isWide: true },
          { title: 'REASON', isWide: !found.some(({ state }) => state === 'failed') },
          { title: 'PULL', isWide: true },
        ],
        rows: found.map((pull) => row(pull, now)),
        empty: 'nothing is being pulled',
      },
    ],
  };
}

const tones: Readonly<Record<SeenPull['state'], Tone>> = {
  waiting: 'dim',
  running: 'strong',
  done: 'good',
  failed: 'bad',
};

function row(pull: ShownPull, now: number): Cell[] {
  const { node, reference, state, pullId, bytes, totalBytes, durationMs } = pull;
  const speed =
    state === 'done' && bytes !== undefined && durationMs !== undefined && durationMs > 0
      ? (bytes / durationMs) * 1000
      : pull.bytesPerSecond;
  const about = pull.approximate === true ? '~' : '';
  const whole = totalBytes === undefined ? '' : ` of ${sizeText(totalBytes)}`;
  return [
    node,
    reference,
    { text: state, tone: tones[state] },
    progressCell(pull),
    bytes === undefined ? '-' : `${about}${sizeText(bytes)}${whole}`,
    speed === undefined ? '-' : `${sizeText(Math.round(speed))}/s`,
    state === 'running' && pull.remainingMs !== undefined ? spanText(pull.remainingMs) : '-',
    ageText(pull.startedAt?.toISOString(), now),
    waitersText(pull),
    layersText(pull),
    pull.reason ?? '-',
    pullId,
  ];
}

function progressCell({ state, percent, durationMs }: ShownPull): string {
  if (state === 'waiting') return '-';
  if (state === 'running') return `${bar(percent)}${percent ?? '?'} %`;
  return durationMs === undefined ? '-' : `in ${spanText(durationMs)}`;
}

/** The first pod that waits, or how the pull was asked for, and how many more wait. */
function waitersText({ pod, waiters = [] }: ShownPull): string {
  const first = pod === undefined ? waiters[0]?.caller : `${pod.namespace}/${pod.name}`;
  const name = first ?? waiters[0]?.by ?? '-';
  return waiters.length > 1 ? `${name} (+${waiters.length - 1})` : name;
}

function layersText({ layers }: ShownPull): string {
  if (layers === undefined) return '-';
  const done = layers.filter(({ bytes, sizeBytes }) => bytes >= sizeBytes);
  return `${done.length}/${layers.length}`;
}
