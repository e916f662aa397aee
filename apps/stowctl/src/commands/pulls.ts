import { ageText, sizeText, spanText, type Cell, type Tone } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { PullHistory, pullEvents, type SeenPull } from '../events/pull-history';
import { sinceFlag } from '../events/since';
import { bar } from './ensure';

/** Pulls that began longer ago have ended, or make no progress any more. */
const defaultSinceMs = 6 * 3_600_000;

/** `stowctl pulls`: what is being pulled, and with `--recent` what was. */
export async function pulls(call: Call): Promise<number> {
  const { flags, out, signal } = call;
  const now = new Date();
  const since = sinceFlag(flags, now) ?? new Date(now.getTime() - defaultSinceMs);
  const { transport, nodes, kind } = await call.open();
  const wanted = kind === 'nats' && flags.has('all') ? [] : nodes;
  const history = new PullHistory();
  const query = { nodes: wanted, names: pullEvents, since, follow: false, signal };
  for await (const event of transport.events(query)) history.add(event);
  const found = history.pulls({ isWhole: flags.has('recent') });
  await out.show({
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
          { title: 'POD' },
          { title: 'REASON', isWide: !found.some(({ state }) => state === 'failed') },
          { title: 'PULL', isWide: true },
        ],
        rows: found.map((pull) => row(pull, now.getTime())),
        empty: 'nothing is being pulled',
      },
    ],
  });
  return 0;
}

const tones: Readonly<Record<SeenPull['state'], Tone>> = {
  running: 'strong',
  done: 'good',
  failed: 'bad',
};

function row(pull: SeenPull, now: number): Cell[] {
  const { node, reference, state, pod, pullId, bytes, totalBytes, durationMs } = pull;
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
    state === 'running' ? `${bar(pull.percent)}${pull.percent ?? '?'} %` : timeText(durationMs),
    bytes === undefined ? '-' : `${about}${sizeText(bytes)}${whole}`,
    speed === undefined ? '-' : `${sizeText(Math.round(speed))}/s`,
    state === 'running' && pull.remainingMs !== undefined ? spanText(pull.remainingMs) : '-',
    ageText(pull.startedAt?.toISOString(), now),
    pod === undefined ? '-' : `${pod.namespace}/${pod.name}`,
    pull.reason ?? '-',
    pullId,
  ];
}

const timeText = (spanMs: number | undefined): string =>
  spanMs === undefined ? '-' : `in ${spanText(spanMs)}`;
