import { nearest } from '@stowage/errors';
import { eventNames, isEventName, type EventName } from '@stowage/events';
import { cleanText, eventText } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { eventData } from '../events/event-data';
import { sinceFlag } from '../events/since';
import { UsageError } from '../failures';

const defaultSinceMs = 3_600_000;

/** `stowctl events`: what happened, oldest first; with `--follow` what happens from now on too. */
export async function events(call: Call): Promise<number> {
  const { flags, out, signal } = call;
  const names = typeFlag(flags.text('type'));
  const follow = flags.has('follow');
  const now = new Date();
  const since = sinceFlag(flags, now) ?? new Date(now.getTime() - (follow ? 0 : defaultSinceMs));
  const { transport, nodes, kind } = await call.open();
  const wanted = kind === 'nats' && flags.has('all') ? [] : nodes;
  let shown = 0;
  for await (const event of transport.events({ nodes: wanted, names, since, follow, signal })) {
    const { text, tone } = eventText(event);
    const { paint } = out;
    const time = paint(event.time.toISOString().replace('T', ' ').slice(0, 19), 'dim');
    const line = `${time}  ${event.node}  ${paint(event.name, tone)}  ${cleanText(text)}`;
    await out.item(eventData(event), line);
    shown += 1;
  }
  if (shown === 0 && !follow && !out.isForPrograms) {
    out.note(`no event since ${since.toISOString()}`);
  }
  return 0;
}

/** `ImagePulled,ImageRemoved`, in any case; undefined without the flag. */
export function typeFlag(text: string | undefined): EventName[] | undefined {
  return text?.split(',').map((word) => {
    const name = eventNames.find((known) => known.toLowerCase() === word.trim().toLowerCase());
    if (name !== undefined && isEventName(name)) return name;
    const near = nearest(word, eventNames)?.name ?? '';
    throw new UsageError(
      `--type ${JSON.stringify(word)} is no event`,
      `the nearest is ${near}; there is: ${eventNames.join(', ')}`,
    );
  });
}
