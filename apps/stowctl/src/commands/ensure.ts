import { imageService, pullPolicies, type CommandInput } from '@stowage/commands';
import type { StowageEvent } from '@stowage/events';
import { referenceKey } from '@stowage/image-ref';
import { parseSpan, progressText, shortId, sizeText, spanText } from '@stowage/status-view';
import type { Call, GivenFlags } from '../command-line/define';
import { UsageError } from '../failures';
import { onNodes } from '../transport/on-nodes';
import type { Reach } from '../transport/reach';

/** A pull lasts as long as it makes progress; the service has the limits. */
const longestPullMs = 24 * 3_600_000;
const barWidth = 24;

/** `stowctl ensure IMAGE`: has the image pulled where it is not there. */
export async function ensure(call: Call): Promise<number> {
  const { args, flags, out } = call;
  const [image = ''] = args;
  const input = inputOf(image, flags);
  const reach = await call.open();
  const watching = new AbortController();
  const signal = AbortSignal.any([watching.signal, call.signal]);
  const progress = watch(call, reach, image, signal);
  try {
    const { results, failed } = await onNodes(reach, call, async (node, transport) => {
      const reply = await transport.send(node, imageService.ensure, input, {
        timeoutMs: longestPullMs,
      });
      out.status('');
      if (!out.isForPrograms) out.text(endText(node, image, reply));
      return reply;
    });
    if (out.isForPrograms) {
      await out.show({ data: results.map(({ node, value }) => ({ node, ...value })), tables: [] });
    }
    return failed > 0 ? 1 : 0;
  } finally {
    watching.abort();
    await progress;
    out.status('');
  }
}

function inputOf(image: string, flags: GivenFlags): CommandInput<typeof imageService.ensure> {
  const hold = flags.text('hold');
  const holdMs = hold === undefined ? undefined : parseSpan(hold);
  if (hold !== undefined && holdMs === undefined) {
    throw new UsageError(`--hold ${JSON.stringify(hold)} is not a time`, 'write it as 30m or 2h');
  }
  const policy = pullPolicies.find((known) => known === flags.text('policy'));
  return {
    image,
    pullPolicy: policy,
    holdSeconds: holdMs === undefined ? undefined : Math.ceil(holdMs / 1000),
    credentialsRef: flags.text('secret'),
  };
}

interface Ensured {
  readonly imageId: string;
  readonly pulled: boolean;
  readonly bytes: number;
  readonly durationMs: number;
}

function endText(node: string, image: string, { imageId, pulled, ...reply }: Ensured): string {
  const size = reply.bytes === 0 ? '' : `, ${sizeText(reply.bytes)}`;
  const speed =
    reply.bytes === 0 || reply.durationMs === 0
      ? ''
      : ` (${sizeText(Math.round((reply.bytes / reply.durationMs) * 1000))}/s)`;
  return pulled
    ? `${node}: pulled ${image}${size} in ${spanText(reply.durationMs)}${speed}, id ${shortId(imageId)}`
    : `${node}: ${image} is there${size}, id ${shortId(imageId)}`;
}

/**
 * Shows the progress of the image's pulls until the signal aborts: one line that is written over on
 * a terminal, else a line a step. Where events cannot be read there is no progress to show.
 */
async function watch(
  { out }: Call,
  { transport, nodes, kind }: Reach,
  image: string,
  signal: AbortSignal,
): Promise<void> {
  if (out.isForPrograms) return;
  const names = ['ImagePullStarted', 'ImagePullProgress'] as const;
  const key = referenceKey(image);
  const latest = new Map<string, string>();
  try {
    const query = { nodes, names, since: new Date(), follow: true, signal };
    for await (const event of transport.events(query)) {
      if (!isOf(event, image, key)) continue;
      const width = out.terminalWidth;
      const where = nodes.length > 1 ? `${event.node}: ` : '';
      const text =
        event.name === 'ImagePullProgress'
          ? `${where}${width === undefined ? '' : bar(event.data.percent)}${progressText(event.data)}`
          : `${where}pulling ${image}`;
      if (width === undefined) out.note(text);
      latest.set(event.node, text);
      out.status([...latest.values()].at(-1) ?? '');
    }
  } catch (error) {
    if (signal.aborted) return;
    out.note(
      `no progress is shown: ${error instanceof Error ? error.message : 'events cannot be read'}${kind === 'local' ? '' : ' (the pull goes on)'}`,
    );
  }
}

function isOf(
  event: StowageEvent,
  image: string,
  key: string,
): event is StowageEvent<'ImagePullStarted' | 'ImagePullProgress'> {
  if (event.name !== 'ImagePullStarted' && event.name !== 'ImagePullProgress') return false;
  const { reference, requestedReference } = event.data;
  return requestedReference === image || referenceKey(reference) === key;
}

/** A bar of the share that has arrived; nothing while the whole is not known. */
export function bar(percent: number | undefined, width = barWidth): string {
  if (percent === undefined) return '';
  const full = Math.round((Math.min(100, Math.max(0, percent)) / 100) * width);
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}] `;
}
