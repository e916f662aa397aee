import type { EngineClient } from '../engine/engine-client';
import { EngineResponseError } from '../engine/engine-errors';

/** Inspections at once for images that are new. */
const parallel = 8;

/**
 * Users that images run as, which the engine's list lacks. They never change for an id, so each is
 * asked for once; what the list does not hold any more is forgotten.
 */
export class ImageUsers {
  #known = new Map<string, string>();

  /**
   * Users by image id; none of an image that vanishes meanwhile, or that the engine cannot inspect:
   * it keeps no other from the list.
   */
  async of(
    client: Pick<EngineClient, 'inspectImage'>,
    imageIds: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>> {
    const users = new Map<string, string>();
    const unknown: string[] = [];
    for (const id of imageIds) {
      const user = this.#known.get(id);
      if (user === undefined) unknown.push(id);
      else users.set(id, user);
    }
    const inspect = async () => {
      for (let id = unknown.pop(); id !== undefined; id = unknown.pop()) {
        try {
          const { Config } = await client.inspectImage(id, { signal });
          users.set(id, Config?.User ?? '');
        } catch (error) {
          if (!(error instanceof EngineResponseError)) throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: parallel }, inspect));
    this.#known = new Map(users);
    return users;
  }
}
