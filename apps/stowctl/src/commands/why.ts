import type { StowageEvent } from '@stowage/events';
import { namesImage } from '@stowage/image-ref';
import { ageText, eventText, imageName, shortId, sizeText } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { eventData } from '../events/event-data';
import { historyOf, imageEvents } from '../events/image-history';
import { sinceFlag } from '../events/since';
import { failureText } from '../failure-text';
import { CommandFailure } from '../failures';
import { onNodes } from '../transport/on-nodes';
import type { Reach } from '../transport/reach';
import { imagesOf, verdictCell, type FoundImage } from './images';

/** `stowctl why IMAGE`: whether it is there and why it stays or goes, and what became of it. */
export async function why(call: Call): Promise<number> {
  const { args, out } = call;
  const [wanted = ''] = args;
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    imagesOf(transport, node, (note) => out.note(note)),
  );
  const there = results.flatMap(({ node, value }) =>
    value.filter((image) => namesImage(wanted, image)).map((image) => ({ node, image })),
  );
  const { history, problem } = await readHistory(call, reach, wanted, there);
  if (problem !== undefined) out.note(problem);
  if (there.length === 0 && history.length === 0) {
    if (failed > 0) return 1;
    throw new CommandFailure(
      `there is no image ${JSON.stringify(wanted)} and no event about one`,
      'stowctl images lists what is there; --since 30d looks further back where the stream keeps it',
    );
  }
  const now = Date.now();
  await out.show({
    data: {
      image: wanted,
      present: there.map(({ node, image }) => ({ node, ...image })),
      history: history.map(eventData),
    },
    tables: [
      {
        heading: 'Now',
        columns: [
          { title: 'NODE' },
          { title: 'IMAGE' },
          { title: 'ID' },
          { title: 'SIZE', align: 'right' },
          { title: 'AGE', align: 'right' },
          { title: 'LAST USED', align: 'right' },
          { title: 'VERDICT' },
          { title: 'WHY' },
        ],
        rows: there.map(({ node, image }) => [
          node,
          imageName(image),
          shortId(image.imageId),
          sizeText(image.sizeBytes),
          ageText(image.firstDetected, now),
          ageText(image.lastUsed, now),
          verdictCell(image),
          image.why ?? '-',
        ]),
        empty: 'it is not there',
      },
      {
        heading: 'History',
        columns: [{ title: 'TIME' }, { title: 'NODE' }, { title: 'EVENT' }, { title: 'WHAT' }],
        rows: history.map((event) => {
          const { text, tone } = eventText(event);
          const time = event.time.toISOString().replace('T', ' ').slice(0, 19);
          return [time, event.node, { text: event.name, tone }, text];
        }),
        empty: 'no event is kept about it',
      },
    ],
  });
  return failed > 0 ? 1 : 0;
}

/** The events about it; what keeps them from being read does not keep the verdict from view. */
async function readHistory(
  { args, flags, signal }: Call,
  { transport, nodes, kind }: Reach,
  wanted: string,
  there: readonly FoundImage[],
) {
  const since = sinceFlag(flags, new Date());
  const ofNodes = kind === 'nats' && flags.has('all') ? [] : nodes;
  try {
    const events: StowageEvent[] = [];
    const query = { nodes: ofNodes, names: imageEvents, since, follow: false, signal };
    for await (const event of transport.events(query)) events.push(event);
    // By name, and by the ids that it has now.
    const names = new Set([args[0] ?? wanted, ...there.map(({ image }) => image.imageId)]);
    const found = new Set([...names].flatMap((name) => historyOf(name, events)));
    return { history: events.filter((event) => found.has(event)) };
  } catch (error) {
    signal.throwIfAborted();
    return { history: [], problem: `its history is not known: ${failureText(error).message}` };
  }
}
