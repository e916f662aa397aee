import type { StowageEvent } from '@stowage/events';

/** Bytes for people, 1024-based. */
export function size(bytes: number | undefined): string {
  if (bytes === undefined) return 'unknown size';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`;

const short = (id: string) => id.replace(/^sha256:/, '').slice(0, 12);

/** Ids, tags and names end up in a terminal: nothing but printable characters goes there. */
const printable = (text: string) => text.replace(/[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]/g, '?');

function container(data: { containerId: string; name?: string; pod?: { name: string } }): string {
  const name = data.pod && data.name ? `${data.pod.name}/${data.name} ` : '';
  return `${name}${short(data.containerId)}`;
}

function sandbox(data: { podSandboxId: string; pod?: { namespace: string; name: string } }) {
  const name = data.pod ? `${data.pod.namespace}/${data.pod.name} ` : '';
  return `${name}${short(data.podSandboxId)}`;
}

const counts = (byKey: Record<string, number>) =>
  Object.entries(byKey)
    .map(([key, count]) => `${String(count)} ${key}`)
    .join(', ');

/** What an event says, in one line. */
export function describeEvent(event: StowageEvent): string {
  return printable(text(event));
}

function text(event: StowageEvent): string {
  switch (event.name) {
    case 'ImagePullStarted':
      return `pull of ${event.data.requestedReference} began`;
    case 'ImagePullProgress': {
      const { requestedReference, bytes, percent, approximate } = event.data;
      const share = percent === undefined ? '' : `, ${String(percent)} %`;
      return `pull of ${requestedReference}: ${approximate ? 'about ' : ''}${size(bytes)}${share}`;
    }
    case 'ImagePulled': {
      const { requestedReference, sizeBytes, durationMs, credential } = event.data;
      return `pulled ${requestedReference}: ${size(sizeBytes)} in ${seconds(durationMs)}, credential ${credential.source}`;
    }
    case 'ImagePullFailed': {
      const { requestedReference, error, attempts } = event.data;
      return `pull of ${requestedReference} failed after ${String(attempts)} attempts (${error.code}): ${error.message}`;
    }
    case 'ImageEnsured':
      return `${event.data.requestedReference} was asked for and is present`;
    case 'ImageDetected': {
      const { repoTags, imageId, sizeBytes } = event.data;
      return `new image ${repoTags[0] ?? short(imageId)}: ${size(sizeBytes)}`;
    }
    case 'ImageRemoved': {
      const { repoTags, imageId, removedBy, reason, expectedBytes } = event.data;
      const name = repoTags[0] ?? (imageId === undefined ? event.subject : short(imageId));
      return `removed ${name} (${reason}, by ${removedBy}): ${size(expectedBytes)} expected`;
    }
    case 'ThresholdExceeded': {
      const { filesystem, resource, mark, thresholdPercent, bytesToFree } = event.data;
      const used = resource === 'inodes' ? filesystem.inodesUsedPercent : filesystem.usedPercent;
      return `${filesystem.mountpoint} is at ${String(used)} % ${resource}, over the ${mark} mark of ${String(thresholdPercent)} %: ${size(bytesToFree)} to free`;
    }
    case 'ThresholdRecovered': {
      const { filesystem, exceededForMs } = event.data;
      return `${filesystem.mountpoint} is at ${String(filesystem.usedPercent)} %, below the mark after ${seconds(exceededForMs)}`;
    }
    case 'GarbageCollected': {
      const { removedCount, expectedBytes, measuredBytes, keptByReason, durationMs } = event.data;
      return `collected ${String(removedCount)} images in ${seconds(durationMs)}: ${size(expectedBytes)} expected, ${size(measuredBytes)} measured; kept ${counts(keptByReason)}`;
    }
    case 'GarbageCollectionFailed':
      return `collection failed (${event.data.error.code}): ${event.data.error.message}`;
    case 'GarbageCollectionShadowed': {
      const { wouldRemoveCount, expectedBytes, keptCount } = event.data;
      return `collection in shadow: would remove ${String(wouldRemoveCount)} images, ${size(expectedBytes)} expected; kept ${String(keptCount)}`;
    }
    case 'CollectionPaused':
      return `collection is paused until ${event.data.until}: ${event.data.reason}`;
    case 'CollectionResumed':
      return `collection is resumed (${event.data.cause}) after: ${event.data.reason}`;
    case 'ImageHeld':
      return `image ${event.data.requestedReference} is held until ${event.data.until}: ${event.data.reason}`;
    case 'ImageReleased':
      return `image ${event.data.requestedReference} is no longer held (${event.data.cause})`;
    case 'PodSandboxStarted':
      return `pod ${sandbox(event.data)} started`;
    case 'PodSandboxStopped':
      return `pod ${sandbox(event.data)} stopped`;
    case 'PodSandboxRemoved':
      return `pod ${sandbox(event.data)} removed`;
    case 'ContainerCreationStarted': {
      const { pod, name, podSandboxId, image } = event.data;
      const where = pod === undefined ? podSandboxId : `${pod.namespace}/${pod.name}`;
      return `container ${name ?? ''} of ${where} is being created from ${image.userSpecifiedReference ?? image.reference}`;
    }
    case 'ContainerCreated': {
      const { image } = event.data;
      return `container ${container(event.data)} created from ${image.userSpecifiedReference ?? image.reference}`;
    }
    case 'ContainerStarted':
      return `container ${container(event.data)} started`;
    case 'ContainerStopped': {
      const { exitCode } = event.data;
      return `container ${container(event.data)} stopped, exit code ${exitCode === undefined ? 'unknown' : String(exitCode)}`;
    }
    case 'ContainerRemoved':
      return `container ${container(event.data)} removed`;
    case 'RuntimeUnavailable':
      return `runtime ${event.data.endpoint} does not answer: ${event.data.reason}`;
    case 'RuntimeRecovered':
      return `runtime ${event.data.endpoint} is back after ${seconds(event.data.unavailableForMs)}`;
    case 'EventsDropped': {
      const { count, reason } = event.data;
      return `${count === undefined ? 'an unknown number of' : String(count)} events of ${event.subject} were lost (${reason})`;
    }
  }
}
