import type { StowageEvent } from '@stowage/events';
import type { Tone } from './table';
import { sizeText, spanText } from './units';
import { imageName, planText, shortId } from './image-text';

/** An event in one line. */
export interface EventText {
  readonly text: string;
  readonly tone: Tone;
}

interface Pod {
  readonly namespace: string;
  readonly name: string;
}

const podText = (pod: Pod | undefined): string =>
  pod === undefined ? '' : ` of pod ${pod.namespace}/${pod.name}`;
const forPod = (pod: Pod | undefined): string =>
  pod === undefined ? '' : ` for pod ${pod.namespace}/${pod.name}`;
const sizeIf = (sizeBytes: number | undefined, before = ', '): string =>
  sizeBytes === undefined ? '' : `${before}${sizeText(sizeBytes)}`;
const heldUntil = (time: string | undefined): string =>
  time === undefined ? '' : `, held until ${time}`;

/** What happened, in words. */
export function eventText(event: StowageEvent): EventText {
  switch (event.name) {
    case 'ImagePullStarted':
      return dim(`pull of ${event.data.reference} began${forPod(event.data.pod)}`);
    case 'ImagePullProgress':
      return dim(progressText(event.data));
    case 'ImagePulled': {
      const { data } = event;
      const by = credentialText(data.credential);
      return good(
        `pulled ${data.reference}${sizeIf(data.sizeBytes)} in ${spanText(data.durationMs)} with ${by}${forPod(data.pod)}${heldUntil(data.holdUntil)}`,
      );
    }
    case 'ImagePullFailed': {
      const { data } = event;
      const name = data.reference ?? data.requestedReference;
      return bad(`pull of ${name} failed (${data.error.code}): ${data.error.message}`);
    }
    case 'ImageEnsured':
      return dim(
        `${event.data.reference} was asked for and is there${forPod(event.data.pod)}${heldUntil(event.data.holdUntil)}`,
      );
    case 'ImageDetected': {
      const { data } = event;
      const back =
        data.regret === undefined
          ? ''
          : `; it is back ${spanText(data.regret.afterMs)} after ${planText(data.regret.planId)} removed it`;
      return {
        text: `found ${imageName(data)} (${shortId(data.imageId)})${sizeIf(data.sizeBytes)}${back}`,
        tone: data.regret === undefined ? 'dim' : 'warning',
      };
    }
    case 'ImageRemoved':
      return warning(removedText(event.data));
    case 'ContainerCreationStarted':
      return dim(`container ${event.data.name ?? ''}${podText(event.data.pod)} is being created`);
    case 'ContainerCreated':
    case 'ContainerStarted':
    case 'ContainerRemoved': {
      const { data } = event;
      const what = event.name.replace('Container', '').toLowerCase();
      const image = data.image?.userSpecifiedReference ?? data.image?.reference;
      const from = image === undefined ? '' : `, image ${image}`;
      return dim(
        `container ${data.name ?? shortId(data.containerId)}${podText(data.pod)} ${what}${from}`,
      );
    }
    case 'ContainerStopped': {
      const { data } = event;
      const code = data.exitCode === undefined ? '' : ` with ${data.exitCode}`;
      const why = data.reason === undefined ? '' : ` (${data.reason})`;
      return {
        text: `container ${data.name ?? shortId(data.containerId)}${podText(data.pod)} ended${code}${why}`,
        tone: data.exitCode === 0 || data.requested === true ? 'dim' : 'warning',
      };
    }
    case 'PodSandboxStarted':
    case 'PodSandboxStopped':
    case 'PodSandboxRemoved': {
      const { pod, podSandboxId } = event.data;
      const name = pod === undefined ? shortId(podSandboxId) : `${pod.namespace}/${pod.name}`;
      return dim(`pod ${name} ${event.name.replace('PodSandbox', '').toLowerCase()}`);
    }
    case 'RuntimeUnavailable':
      return bad(`the runtime at ${event.data.endpoint} does not answer: ${event.data.reason}`);
    case 'RuntimeRecovered':
      return good(`the runtime answers again after ${spanText(event.data.unavailableForMs)}`);
    case 'ThresholdExceeded': {
      const { filesystem, mark, resource, bytesToFree } = event.data;
      return bad(
        `${filesystem.mountpoint} is ${filesystem.usedPercent} % full, over its ${mark} mark of ${resource}; ${sizeText(bytesToFree)} to free`,
      );
    }
    case 'ThresholdRecovered': {
      const { filesystem, mark, exceededForMs } = event.data;
      return good(
        `${filesystem.mountpoint} is below its ${mark} mark again (${filesystem.usedPercent} %) after ${spanText(exceededForMs)}`,
      );
    }
    case 'GarbageCollected': {
      const { planId, trigger, removedCount, measuredBytes, expectedBytes, durationMs } =
        event.data;
      return good(
        `${planText(planId)} (${trigger}) removed ${removedCount} images, freed ${sizeText(measuredBytes ?? expectedBytes)} in ${spanText(durationMs)}`,
      );
    }
    case 'GarbageCollectionFailed': {
      const { planId = '-', error, removedCount } = event.data;
      return bad(
        `${planText(planId)} fell short (${error.code}) after ${removedCount} images: ${error.message}`,
      );
    }
    case 'GarbageCollectionShadowed': {
      const { planId, trigger, wouldRemoveCount, expectedBytes } = event.data;
      return warning(
        `${planText(planId)} (${trigger}) would have removed ${wouldRemoveCount} images for ${sizeText(expectedBytes)}`,
      );
    }
    case 'CollectionPaused':
      return warning(`collections are paused until ${event.data.until}: ${event.data.reason}`);
    case 'CollectionResumed':
      return good(`collections are no longer paused (${event.data.cause})`);
    case 'ImageHeld':
      return dim(
        `${event.data.requestedReference} is held until ${event.data.until}: ${event.data.reason}`,
      );
    case 'ImageReleased':
      return dim(`${event.data.requestedReference} is no longer held (${event.data.cause})`);
    case 'EventsDropped': {
      const { count, reason } = event.data;
      return bad(`${count === undefined ? 'events' : `${count} events`} were dropped: ${reason}`);
    }
    default: {
      // One that this version has no words for.
      const { name, subject } = event as StowageEvent;
      return dim(`${name} ${subject}`);
    }
  }
}

/** What a pull has received so far. */
export function progressText(data: {
  readonly reference: string;
  readonly bytes: number;
  readonly totalBytes?: number;
  readonly percent?: number;
  readonly bytesPerSecond?: number;
  readonly remainingMs?: number;
}): string {
  const { reference, bytes, totalBytes, percent, bytesPerSecond, remainingMs } = data;
  const share = percent === undefined ? '' : `${percent} %, `;
  const speed = bytesPerSecond === undefined ? '' : `, ${sizeText(bytesPerSecond)}/s`;
  const left = remainingMs === undefined ? '' : `, ${spanText(remainingMs)} left`;
  return `${reference}: ${share}${sizeText(bytes)}${sizeIf(totalBytes, ' of ')}${speed}${left}`;
}

/** A credential by where it came from and the beginning of its hash. */
export function credentialText(credential: {
  readonly source: string;
  readonly name?: string;
  readonly hash?: string;
}): string {
  const { source, name, hash } = credential;
  if (source === 'none') return 'no credential';
  const mark = hash === undefined ? '' : ` (sha256 ${hash.slice(0, 12)})`;
  return `the credential from ${source}${name === undefined ? '' : ` ${name}`}${mark}`;
}

function removedText(data: {
  readonly imageId?: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly removedBy: string;
  readonly reason: string;
  readonly planId?: string;
  readonly measuredBytes?: number;
  readonly idleMs?: number;
}): string {
  const { imageId = '', repoTags, repoDigests, removedBy, reason, planId } = data;
  const name = imageName({ imageId, repoTags, repoDigests });
  if (reason === 'vanished') return `${name} is gone; somebody else removed it`;
  const plan = planId === undefined ? '' : `, ${planText(planId)}`;
  const idle = data.idleMs === undefined ? '' : `, idle for ${spanText(data.idleMs)}`;
  const freed = sizeIf(data.measuredBytes, ', freed ');
  return `${removedBy} removed ${name} (${reason})${plan}${idle}${freed}`;
}

const dim = (text: string): EventText => ({ text, tone: 'dim' });
const good = (text: string): EventText => ({ text, tone: 'good' });
const warning = (text: string): EventText => ({ text, tone: 'warning' });
const bad = (text: string): EventText => ({ text, tone: 'bad' });
