import { parseByteSize } from '@stowage/service-kit/byte-size';
import {
  ageText,
  imageName,
  parseSpan,
  planText,
  sizeText,
  spanText,
  type Table,
} from '@stowage/status-view';
import type { Call, GivenFlags } from '../command-line/define';
import { UsageError } from '../failures';
import { wholePlan, type Plan, type PlannedImage } from '../services/whole-plan';
import { onNodes } from '../transport/on-nodes';

/** `--bytes` as a number; undefined without it. */
export function bytesFlag(flags: GivenFlags): number | undefined {
  const text = flags.text('bytes');
  if (text === undefined) return undefined;
  const sizeBytes = parseByteSize(text);
  if (sizeBytes === undefined || sizeBytes < 1) {
    throw new UsageError(
      `--bytes ${JSON.stringify(text)} is not a size`,
      'write it as 500M or 2Gi',
    );
  }
  return sizeBytes;
}

/** `--assumed-age` as the service takes it; undefined without it. */
function assumedAgeFlag(flags: GivenFlags): string | undefined {
  const text = flags.text('assumed-age');
  if (text === undefined) return undefined;
  const ageMs = parseSpan(text);
  if (ageMs === undefined || ageMs < 1) {
    throw new UsageError(
      `--assumed-age ${JSON.stringify(text)} is not a time`,
      'write it as 12h or 7d',
    );
  }
  return `${Math.ceil(ageMs)}ms`;
}

/** `stowctl plan`: what a collection would remove, and what keeps the rest. */
export async function plan(call: Call): Promise<number> {
  const { flags, out } = call;
  const bytes = bytesFlag(flags);
  const assumedAge = assumedAgeFlag(flags);
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    wholePlan(transport, node, { bytes, assumedAge }),
  );
  const now = Date.now();
  await out.show({
    data: results.map(({ node, value }) => ({ node, ...value })),
    tables: results.flatMap(({ node, value }) => [
      imagesTable(node, value, { now, areKeptShown: flags.has('kept') }),
      sumsTable(value),
    ]),
    notes: results.flatMap(({ node, value }) =>
      value.removeCount === 0
        ? []
        : [`to carry it out: stowctl gc run --plan ${value.planId}${onNode(node, reach.kind)}`],
    ),
  });
  return failed > 0 ? 1 : 0;
}

/** What a command for one node needs behind it; nothing where the local sockets are asked. */
export const onNode = (node: string, kind: 'local' | 'nats'): string =>
  kind === 'local' ? '' : ` --node ${node}`;

const isRemoved = ({ verdict }: PlannedImage): boolean => verdict === 'remove';

function heading(node: string, { planId, trigger, ...plan }: Plan): string {
  const target =
    plan.bytesToFree === undefined ? '' : `, ${sizeText(plan.bytesToFree)} have to come free`;
  const about = plan.expectedIsEstimate ? 'about ' : '';
  const assumed =
    plan.assumedAgeMs === undefined
      ? ''
      : `; images that were there before count as ${spanText(plan.assumedAgeMs)} old`;
  return plan.removeCount === 0
    ? `${node}: nothing to remove (${trigger})${target}; ${sizeText(plan.collectableBytes)} could be collected${assumed}`
    : `${node}: ${planText(planId)} (${trigger}) removes ${plan.removeCount} of ${plan.total} images for ${about}${sizeText(plan.expectedBytes)}${target}${assumed}`;
}

function imagesTable(
  node: string,
  plan: Plan,
  { now, areKeptShown }: { now: number; areKeptShown: boolean },
): Table {
  const shown = plan.images.filter((image) => areKeptShown || isRemoved(image));
  return {
    heading: heading(node, plan),
    columns: [
      { title: '#', align: 'right' },
      { title: 'IMAGE' },
      { title: 'FREES', align: 'right' },
      { title: 'SIZE', align: 'right' },
      { title: 'LAST USED', align: 'right' },
      { title: 'VERDICT' },
      { title: 'WHY' },
    ],
    rows: shown.map((image) => [
      isRemoved(image) ? String(image.order ?? '') : '',
      imageName(image),
      sizeText(image.expectedBytes),
      sizeText(image.sizeBytes),
      ageText(image.lastUsed, now),
      { text: `${image.verdict}: ${image.rule}`, tone: isRemoved(image) ? 'warning' : 'dim' },
      image.why,
    ]),
    empty: '',
  };
}

/** One line for each rule, of what goes and of what stays. */
function sumsTable({ images }: Plan): Table {
  const sums = new Map<string, { verdict: string; rule: string; count: number; bytes: number }>();
  for (const image of images) {
    const { verdict, rule } = image;
    const key = `${verdict} ${rule}`;
    const sum = sums.get(key) ?? { verdict, rule, count: 0, bytes: 0 };
    const bytes = isRemoved(image) ? image.expectedBytes : image.sizeBytes;
    sums.set(key, { ...sum, count: sum.count + 1, bytes: sum.bytes + bytes });
  }
  const sorted = [...sums.values()].toSorted(
    (a, b) => b.verdict.localeCompare(a.verdict, 'en') || b.bytes - a.bytes,
  );
  return {
    columns: [
      { title: 'VERDICT' },
      { title: 'RULE' },
      { title: 'IMAGES', align: 'right' },
      { title: 'BYTES', align: 'right' },
    ],
    rows: sorted.map(({ verdict, rule, count, bytes }) => [
      verdict,
      rule,
      String(count),
      sizeText(bytes),
    ]),
  };
}
