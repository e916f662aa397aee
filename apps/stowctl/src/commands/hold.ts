import { gcWorker } from '@stowage/commands';
import { parseSpan, shortId } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { UsageError } from '../failures';
import { onNodes } from '../transport/on-nodes';

const defaultHoldMs = 2 * 3_600_000;

/** `stowctl hold IMAGE`: keeps an image from collection for a time; it ends by itself. */
export async function hold(call: Call): Promise<number> {
  const { args, flags, out } = call;
  const [image = ''] = args;
  const text = flags.text('for');
  const holdMs = text === undefined ? defaultHoldMs : parseSpan(text);
  if (holdMs === undefined || holdMs < 1) {
    throw new UsageError(`--for ${JSON.stringify(text)} is not a time`, 'write it as 30m or 2h');
  }
  const minutes = Math.ceil(holdMs / 60_000);
  const reason = flags.text('reason') ?? 'asked for with stowctl';
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    transport.send(node, gcWorker.hold, { image, minutes, reason }),
  );
  await out.show({
    data: results.flatMap(({ node, value }) => value.held.map((held) => ({ node, ...held }))),
    tables: [],
    notes: results.flatMap(({ node, value }) =>
      value.held.map(
        ({ imageId, until }) => `${node}: ${image} (${shortId(imageId)}) is held until ${until}`,
      ),
    ),
  });
  return failed > 0 ? 1 : 0;
}

/** `stowctl release IMAGE`: it may be collected again. */
export async function release(call: Call): Promise<number> {
  const [image = ''] = call.args;
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    transport.send(node, gcWorker.release, { image }),
  );
  await call.out.show({
    data: results.map(({ node, value }) => ({ node, ...value })),
    tables: [],
    notes: results.map(({ node, value: { released, heldUntil } }) => {
      const end = released.length === 0 ? 'was not held' : 'is no longer held';
      const other =
        heldUntil === undefined ? '' : `; an ensure of it keeps it until ${heldUntil} all the same`;
      return `${node}: ${image} ${end}${other}`;
    }),
  });
  return failed > 0 ? 1 : 0;
}
