import { imageService } from '@stowage/commands';
import { namesImage } from '@stowage/image-ref';
import { ageText, imageName, shortId, sizeText, type Cell } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { isNotOffered, isUnanswered } from '../failure-text';
import { CommandFailure } from '../failures';
import { wholePlan, type PlannedImage } from '../services/whole-plan';
import { onNodes } from '../transport/on-nodes';
import type { Transport } from '../transport/reach';

/** An image of a node. What only gc-worker knows is absent where it does not answer. */
export type NodeImage = Pick<
  PlannedImage,
  'imageId' | 'repoTags' | 'repoDigests' | 'sizeBytes' | 'pinned'
> &
  Partial<PlannedImage>;

export interface FoundImage {
  readonly node: string;
  readonly image: NodeImage;
}

export const imageOrders = ['name', 'size', 'age', 'last-used'] as const;

/** `stowctl images [IMAGE]`. */
export async function images(call: Call): Promise<number> {
  const { args, flags, out } = call;
  const [wanted] = args;
  const reach = await call.open();
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    imagesOf(transport, node, (note) => out.note(note)),
  );
  const verdict = flags.text('verdict');
  const found = results
    .flatMap(({ node, value }) => value.map((image) => ({ node, image })))
    .filter(({ image }) => wanted === undefined || namesImage(wanted, image))
    .filter(({ image }) => !flags.has('unused') || image.usedBy?.length === 0)
    .filter(({ image }) => !flags.has('pinned') || image.pinned)
    .filter(({ image }) => verdict === undefined || image.verdict === verdict)
    .toSorted(orderBy(flags.text('sort') ?? 'name'));
  if (flags.has('reverse')) found.reverse();
  if (wanted !== undefined && found.length === 0 && failed === 0)
    throw notThere(wanted, reach.nodes);
  await show(call, found);
  return failed > 0 ? 1 : 0;
}

/** An image that no node has. */
export const notThere = (wanted: string, nodes: readonly string[]): CommandFailure =>
  new CommandFailure(
    `there is no image ${JSON.stringify(wanted)} on ${nodes.length === 1 ? (nodes[0] ?? '') : `these ${nodes.length} nodes`}`,
    'stowctl images lists what is there; stowctl why IMAGE says what became of one',
  );

/** The images of a node with their verdicts; without these where gc-worker does not answer. */
export async function imagesOf(
  transport: Transport,
  node: string,
  note: (text: string) => void,
): Promise<NodeImage[]> {
  try {
    return (await wholePlan(transport, node)).images;
  } catch (error) {
    if (!isUnanswered(error) && !isNotOffered(error)) throw error;
    note(`${node}: gc-worker does not answer, so use and verdicts are not known`);
  }
  return (await transport.send(node, imageService.list, {})).images;
}

function orderBy(key: string): (a: FoundImage, b: FoundImage) => number {
  const time = (text: string | null | undefined): number => (text == null ? 0 : Date.parse(text));
  const byName = (a: FoundImage, b: FoundImage) =>
    imageName(a.image).localeCompare(imageName(b.image), 'en') ||
    a.node.localeCompare(b.node, 'en');
  switch (key) {
    case 'size':
      return (a, b) => b.image.sizeBytes - a.image.sizeBytes || byName(a, b);
    case 'age':
      return (a, b) => time(a.image.firstDetected) - time(b.image.firstDetected) || byName(a, b);
    case 'last-used':
      return (a, b) => time(a.image.lastUsed) - time(b.image.lastUsed) || byName(a, b);
    default:
      return byName;
  }
}

async function show({ out }: Call, found: readonly FoundImage[]): Promise<void> {
  const now = Date.now();
  const totalBytes = found.reduce((sum, { image }) => sum + image.sizeBytes, 0);
  await out.show({
    data: found.map(({ node, image }) => ({ node, ...image })),
    tables: [
      {
        columns: [
          { title: 'NODE' },
          { title: 'IMAGE' },
          { title: 'ID' },
          { title: 'SIZE', align: 'right' },
          { title: 'AGE', align: 'right' },
          { title: 'LAST USED', align: 'right' },
          { title: 'USED BY' },
          { title: 'PINNED' },
          { title: 'VERDICT' },
          { title: 'WHY', isWide: true },
          { title: 'DIGEST', isWide: true },
        ],
        rows: found.map(({ node, image }) => [
          node,
          imageName(image),
          shortId(image.imageId),
          sizeText(image.sizeBytes),
          ageText(image.firstDetected, now),
          ageText(image.lastUsed, now),
          usedByText(image.usedBy, out.format === 'wide'),
          image.pinned ? 'yes' : '',
          verdictCell(image),
          image.why ?? '-',
          image.repoDigests[0] ?? '-',
        ]),
        empty: 'no image',
      },
    ],
    notes: found.length > 1 ? [`${found.length} images, ${sizeText(totalBytes)}`] : [],
  });
}

function usedByText(usedBy: readonly string[] | undefined, isWide: boolean): string {
  if (usedBy === undefined) return '-';
  if (isWide) return usedBy.join(', ');
  const [first = '', ...others] = usedBy;
  return others.length === 0 ? first : `${first} (+${others.length})`;
}

export function verdictCell({ verdict, rule }: Partial<PlannedImage>): Cell {
  if (verdict === undefined || rule === undefined) return '-';
  return { text: `${verdict}: ${rule}`, tone: verdict === 'remove' ? 'warning' : 'dim' };
}
