import type { Image } from '@stowage/cri-proto';
import type { EngineClient, InspectedImage } from '../engine/engine-client';
import { isNotFound } from '../engine/engine-errors';
import type { EngineConnection } from '../engine/engine-connection';
import { criImage, listedNames, listedTags, type EngineImage } from './cri-image';
import { givenImage, inspectName } from './image-name';
import type { pinnedImages } from './pinned-images';

/** ImageStatus. */
export class ImageStatus {
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly isPinned: ReturnType<typeof pinnedImages>,
  ) {}

  /**
   * An image by reference, digest, id or beginning of an id; undefined when there is none. With
   * `verbose`, also its configuration and history as JSON, without the values of its environment.
   */
  async status(
    image: string | undefined,
    { verbose, signal }: { readonly verbose: boolean; readonly signal: AbortSignal },
  ): Promise<{ readonly image: Image; readonly info: Record<string, string> } | undefined> {
    const { client } = this.connection.engine();
    const inspected = await inspectedImage(client, givenImage(image), signal);
    if (inspected === undefined) return undefined;
    const known = engineImage(inspected);
    const info: Record<string, string> = verbose
      ? { info: JSON.stringify(await details(client, inspected, signal)) }
      : {};
    return { image: criImage(known, this.isPinned(known, known.labels)), info };
  }
}

/** What the engine knows of an image; undefined when it has none of that name. */
export async function inspectedImage(
  client: Pick<EngineClient, 'inspectImage'>,
  given: string,
  signal: AbortSignal,
): Promise<InspectedImage | undefined> {
  try {
    return await client.inspectImage(inspectName(given), { signal });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

export function engineImage(inspected: InspectedImage): EngineImage {
  const { Id, RepoTags, RepoDigests, Size, Config } = inspected;
  return {
    imageId: Id ?? '',
    repoTags: listedTags(RepoTags),
    repoDigests: listedNames(RepoDigests),
    sizeBytes: Size ?? 0,
    labels: Config?.Labels ?? {},
    user: Config?.User ?? '',
  };
}

async function details(
  client: Pick<EngineClient, 'imageHistory'>,
  { Id, Architecture, Os, Created, Config }: InspectedImage,
  signal: AbortSignal,
): Promise<object> {
  const history = await client.imageHistory(Id ?? '', { signal });
  return {
    imageSpec: {
      created: Created ?? '',
      architecture: Architecture ?? '',
      os: Os ?? '',
      config: {
        ...Config,
        Env: Config?.Env?.map((variable) => variable.split('=', 1).join()),
      },
    },
    history: history.map(({ Created: created, Size: size }) => ({ created, size })),
  };
}
