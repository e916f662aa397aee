import { AlreadyExistsError } from '@stowage/errors';
import type { EngineClient, InspectedContainer, NewContainer } from '../engine/engine-client';
import { isConflict, isNotFound } from '../engine/engine-errors';
import { ensureRemoved } from '../engine/ensure-removed';
import { containerName, randomSuffix, type NameParts } from './container-name';
import { readLabels } from './labels';

/** How a conflict of names ended. */
export type ConflictResult = 'removed' | 'renamed' | 'exists';

export interface NamedContainer {
  readonly name: NameParts;
  readonly container: NewContainer;
  /** Whether a caller knows of this running container, so that it has to stay. */
  readonly isKnown: (id: string) => boolean;
  /** Removes a leftover of the same name. Default: the container. */
  readonly removeLeftover?: (
    id: string,
    options: { readonly signal: AbortSignal },
  ) => Promise<void>;
  readonly onConflict?: (result: ConflictResult) => void;
}

type Client = Pick<EngineClient, 'createContainer' | 'inspectContainer' | 'removeContainer'>;

/** Attempts to create a container: a leftover, one that vanishes, and a name of its own. */
const attempts = 5;
/** For the removal of what nobody wants any more, milliseconds. */
const cleanUpMs = 30_000;

/**
 * Creates a container of a pod and returns its id. A leftover under its name goes, be it stopped or
 * one that no caller was told of; a name that others have gets a seventh part. Who gives up leaves
 * no container behind.
 *
 * @throws {AlreadyExistsError} when the very container runs already, and callers know of it.
 */
export async function createNamed(
  client: Client,
  { name, container, isKnown, removeLeftover, onConflict }: NamedContainer,
  { signal }: { readonly signal: AbortSignal },
): Promise<string> {
  const plain = containerName(name);
  let suffix: string | undefined;
  let vanished = 0;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await create(client, containerName(name, suffix), container, signal);
    } catch (error) {
      if (!isConflict(error) || attempt === attempts) throw error;
    }
    const found = await inspectedByName(client, plain, signal);
    if (found?.Id == null) {
      vanished += 1;
      if (vanished === 1) continue;
    }
    if (found?.Id != null && isSame(found, name)) {
      if (found.State?.Running === true && isKnown(found.Id)) {
        onConflict?.('exists');
        throw new AlreadyExistsError('container', plain);
      }
      if (removeLeftover === undefined) await ensureRemoved(client, found.Id, { signal });
      else await removeLeftover(found.Id, { signal });
      onConflict?.('removed');
      continue;
    }
    suffix = randomSuffix();
    onConflict?.('renamed');
  }
}

/**
 * The call itself is not given up: the engine goes on with it, and only its answer has the id of
 * what is to be removed then.
 */
async function create(
  client: Client,
  name: string,
  container: NewContainer,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const id = await client.createContainer(name, container);
  if (!signal.aborted) return id;
  // One that stays is a leftover for the next attempt.
  await ensureRemoved(client, id, { signal: AbortSignal.timeout(cleanUpMs) }).catch(
    () => undefined,
  );
  throw signal.reason;
}

async function inspectedByName(
  client: Client,
  name: string,
  signal: AbortSignal,
): Promise<InspectedContainer | undefined> {
  try {
    return await client.inspectContainer(name, { signal });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Whether it is of this shim, or of cri-dockerd, and for the same pod and attempt. */
function isSame(found: InspectedContainer, wanted: NameParts): boolean {
  const facts = readLabels(found.Config?.Labels ?? {}, found.Name ?? '');
  if (facts === undefined) return false;
  const pod = facts.type === 'sandbox' ? facts.metadata : facts.pod;
  return (
    pod.name === wanted.pod &&
    pod.namespace === wanted.namespace &&
    pod.uid === wanted.podUid &&
    facts.metadata.attempt === wanted.attempt &&
    (facts.type === 'container' ? facts.metadata.name : undefined) === wanted.container
  );
}
