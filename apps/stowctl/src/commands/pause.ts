import { gcWorker } from '@stowage/commands';
import { parseSpan } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { UsageError } from '../failures';
import { onNodes } from '../transport/on-nodes';

/** `stowctl pause TIME --reason TEXT`: no collection for a while; it ends by itself. */
export async function pause(call: Call): Promise<number> {
  const { args, flags, out } = call;
  const [text = ''] = args;
  const spanMs = parseSpan(text);
  if (spanMs === undefined) {
    throw new UsageError(`${JSON.stringify(text)} is not a time`, 'write it as 30m or 2h');
  }
  const reason = flags.text('reason');
  if (reason === undefined) {
    throw new UsageError('pause needs a reason', 'add --reason TEXT, for whoever finds the pause');
  }
  const minutes = Math.ceil(spanMs / 60_000);
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    transport.send(node, gcWorker.pause, { minutes, reason }),
  );
  await out.show({
    data: results.map(({ node, value }) => ({ node, ...value })),
    tables: [],
    notes: results.map(({ node, value }) => `${node}: no collection until ${value.until}`),
  });
  return failed > 0 ? 1 : 0;
}

/** `stowctl resume`: collections again. */
export async function resume(call: Call): Promise<number> {
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    transport.send(node, gcWorker.resume, {}),
  );
  await call.out.show({
    data: results.map(({ node, value }) => ({ node, ...value })),
    tables: [],
    notes: results.map(({ node, value: { ended } }) =>
      ended == null ? `${node}: there was no pause` : `${node}: collects again`,
    ),
  });
  return failed > 0 ? 1 : 0;
}
