import { FailedPreconditionError } from '@stowage/errors';
import type { EngineClient, InspectedImage } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { isConflict, isNotFound } from '../engine/engine-errors';
import { imageMountsLabel } from '../pod/labels';
import { listedNames } from './cri-image';
import type { ImageLocks } from './image-locks';
import { givenImage } from './image-name';
import { inspectedImage } from './image-status';

/** How often it is looked again when the engine says that something has changed meanwhile. */
const attempts = 3;

/** RemoveImage: an image with all its names, unless a container uses it. */
export class RemoveImage {
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly locks: Pick<ImageLocks, 'remove'>,
    private readonly onRemoved: () => void,
  ) {}

  /**
   * Removes what a reference, digest or id names. One that is gone already is fine.
   *
   * @throws {FailedPreconditionError} when any container, running or not, uses it; nothing was
   *   removed then.
   */
  async remove(
    image: string | undefined,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    const given = givenImage(image);
    const { client } = this.connection.engine();
    for (let attempt = 1; ; attempt += 1) {
      const found = await inspectedImage(client, given, signal);
      if (found?.Id == null) return;
      const id = found.Id;
      const isDone = await this.locks.remove(id, async () => {
        signal.throwIfAborted();
        await refuseUsed(client, id, signal);
        try {
          await client.removeImage(id, { signal });
          this.onRemoved();
          return true;
        } catch (error) {
          if (!isRace(error)) throw error;
          if (isConflict(error) && (await this.#untag(client, found, signal))) return true;
          if (attempt === attempts) throw error;
          return false;
        }
      });
      if (isDone) return;
    }
  }

  /**
   * Other images were made from it: its names go, its layers stay. False when it was not for that.
   */
  async #untag(
    client: EngineClient,
    { Id, RepoTags, RepoDigests }: InspectedImage,
    signal: AbortSignal,
  ): Promise<boolean> {
    await refuseUsed(client, Id ?? '', signal);
    for (const name of [...listedNames(RepoTags), ...listedNames(RepoDigests)]) {
      await client.removeImage(name, { signal }).catch((error: unknown) => {
        if (!isRace(error)) throw error;
      });
    }
    const left = await inspectedImage(client, Id ?? '', signal);
    const names = [...listedNames(left?.RepoTags), ...listedNames(left?.RepoDigests)];
    if (names.length > 0) return false;
    this.onRemoved();
    return true;
  }
}

async function refuseUsed(
  client: Pick<EngineClient, 'listContainers'>,
  imageId: string,
  signal: AbortSignal,
): Promise<void> {
  // Containers of images that were made from this one are among the engine's answer, too.
  const containers = await client.listContainers({ ancestor: [imageId] }, { signal });
  const users = containers.filter(({ ImageID }) => ImageID === imageId).map(({ Id }) => Id);
  const mounting = await client.listContainers({ label: [imageMountsLabel] }, { signal });
  for (const { Id, Labels } of mounting) {
    if (Labels?.[imageMountsLabel]?.split(',').includes(imageId)) users.push(Id);
  }
  const [first] = users;
  if (first == null) return;
  const others = users.length === 1 ? '' : ` and ${users.length - 1} more`;
  throw new FailedPreconditionError(
    `image ${imageId} is in use by container ${first.slice(0, 12)}${others}`,
  );
}

const isRace = (error: unknown): boolean => isConflict(error) || isNotFound(error);
