import { assertEventData, type EventName } from '@stowage/events';
import { Registry } from 'prom-client';
import { ImageDetector, type ImageDetectorParts } from '../detect/detect-images';
import type { KubeletDifferences } from '../policy/differences';
import type { CurrentPolicy } from '../policy/live-policy';
import { ImageContents } from '../detect/image-contents';
import { ImageHints, type RefusedHint } from '../detect/image-hints';
import { gcMetrics } from '../metrics';
import type { Publish, PublishAll } from '../publish';
import { ImageRecordStore } from '../records/record-store';
import type {
  Mountpoints,
  Runtime,
  RuntimeUsage,
  ImageContent,
  ContainerUse,
  ListedPod,
  ListedImage,
} from '../runtime/runtime';
import { minutes, now, policy } from './plan-fixtures';

/** A runtime that holds what the test puts into it. */
export class FakeRuntime implements Runtime {
  images: ListedImage[] = [];
  containers: ContainerUse[] = [];
  pods: ListedPod[] = [];
  volumes: Record<string, string[] | undefined | Error> = {};
  sandbox: string | undefined | Error;
  contents: Record<string, ImageContent | Error> = {};
  stored: RuntimeUsage | Error | undefined;
  layers: ReadonlyMap<string, number> | Error | undefined;
  fileSystems: string[] = ['/images'];
  containerFileSystems: string[] = [];
  failure: Error | undefined;
  /** Fails at this call and at all that follow. */
  goesAt: { readonly call: string; readonly error: Error } | undefined;
  removalErrors: Record<string, Error> = {};
  readonly calls: string[] = [];

  listImages(): Promise<ListedImage[]> {
    return this.#answer('listImages', this.images);
  }

  findImage(imageId: string): Promise<ListedImage | undefined> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return Promise.resolve(this.images.find((image) => image.imageId === imageId));
  }

  listContainers(): Promise<ContainerUse[]> {
    return this.#answer('listContainers', this.containers);
  }

  listPods(): Promise<ListedPod[]> {
    return this.#answer('listPods', this.pods);
  }

  imageVolumes(containerId: string): Promise<readonly string[] | undefined> {
    const volumes = containerId in this.volumes ? this.volumes[containerId] : [];
    return this.#answer(`imageVolumes ${containerId}`, volumes);
  }

  imageContent(imageId: string): Promise<ImageContent | undefined> {
    const content = this.contents[imageId] ?? {};
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return content instanceof Error ? Promise.reject(content) : Promise.resolve(content);
  }

  sandboxImage(): Promise<string | undefined> {
    return this.#answer('sandboxImage', this.sandbox);
  }

  mountpoints(): Promise<Mountpoints> {
    const { fileSystems: image, containerFileSystems: container } = this;
    return this.#answer('mountpoints', { image, container });
  }

  usage(): Promise<RuntimeUsage | undefined> {
    return this.#answer('usage', this.stored);
  }

  writableLayers(): Promise<ReadonlyMap<string, number> | undefined> {
    return this.#answer('writableLayers', this.layers);
  }

  async removeImage(imageId: string): Promise<void> {
    await this.#answer(`removeImage ${imageId}`, this.removalErrors[imageId]);
    this.images = this.images.filter((image) => image.imageId !== imageId);
  }

  #answer<T>(call: string, result: T | Error): Promise<T> {
    this.calls.push(call);
    if (call === this.goesAt?.call) this.failure = this.goesAt.error;
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return result instanceof Error ? Promise.reject(result) : Promise.resolve(result);
  }
}

/** Nobody knows what holds the file systems. */
export const noBreakdowns = { current: () => Promise.resolve([]) };

export interface Published {
  readonly name: EventName;
  readonly subject: string;
  readonly data: Record<string, unknown>;
}

/**
 * The parts of a worker around a fake runtime, with records in memory and a clock the test moves.
 */
export class FakeWorker {
  clock = now;
  /** How far the wall clock was set. */
  jumpMs = 0;
  readonly runtime = new FakeRuntime();
  readonly published: Published[] = [];
  /** Why it cannot be known who uses which image, as of the last look. */
  useUnknown: string | undefined;
  #sequence = 1;
  readonly lines: { message: string; fields: object }[] = [];
  readonly refused: RefusedHint[] = [];
  readonly hints = new ImageHints({
    maxPullMs: minutes(60),
    maxHoldMs: 30 * 24 * minutes(60),
    refused: (hint) => {
      this.refused.push(hint);
    },
  });
  /** When the records began. */
  readonly began = {
    recordsBegan: undefined as number | undefined,
    setRecordsBegan(at: number) {
      this.recordsBegan = at;
    },
  };
  /** What an operator holds, by image id. */
  readonly held = new Map<string, { until: number; reason: string }>();
  readonly registry = new Registry();
  readonly metrics = gcMetrics(this.registry);
  readonly now = (): number => this.clock;
  readonly log = {
    debug: this.#line.bind(this),
    info: this.#line.bind(this),
    warn: this.#line.bind(this),
  };
  readonly contents = new ImageContents(this.runtime);
  readonly store = ImageRecordStore.open({
    stateDir: '/nowhere',
    keep: 'in-memory',
    now: () => new Date(this.clock),
    log: this.log,
  });
  readonly publish: Publish = (name, subject, data) => {
    assertEventData(name, data);
    this.published.push({ name, subject, data });
    this.#sequence += 1;
  };
  readonly publishAll: PublishAll = (name, events) => {
    for (const { subject, data } of events) this.publish(name, subject, data);
  };
  readonly nextSequence = (): number => this.#sequence;

  detector(
    differences: Partial<KubeletDifferences> = {},
    {
      exempt = () => undefined,
      exemptions = [],
      needsLabels = false,
      ...values
    }: Partial<
      ImageDetectorParts & Pick<CurrentPolicy, 'exempt' | 'exemptions' | 'needsLabels'>
    > = {},
  ): ImageDetector {
    return new ImageDetector({
      runtime: this.runtime,
      store: this.store,
      hints: this.hints,
      contents: this.contents,
      holds: { of: (imageId) => this.held.get(imageId) },
      began: this.began,
      sandboxImage: '',
      lostContainerWaitMs: 30_000,
      useUnknown: (reason) => {
        this.useUnknown = reason;
      },
      policy: {
        current: policy({ regretWindowMs: minutes(60), differences }),
        exempt,
        exemptions,
        needsLabels,
      },
      publishAll: this.publishAll,
      nextSequence: this.nextSequence,
      metrics: this.metrics.detection,
      log: this.log,
      now: this.now,
      elapsedMs: () => this.clock - this.jumpMs,
      ...values,
    });
  }

  /** Names and subjects of the events so far; forgets them. */
  takeEvents(): string[] {
    return this.published.splice(0).map(({ name, subject }) => `${name} ${subject}`);
  }

  #line(fields: object, message: string): void {
    this.lines.push({ fields, message });
  }
}

export const listed = (imageId: string, values: Partial<ListedImage> = {}): ListedImage => ({
  imageId,
  repoTags: [`registry.example/${imageId}:1`],
  repoDigests: [],
  sizeBytes: 100,
  pinned: false,
  runtimeHandler: '',
  ...values,
});

export const container = (containerId: string, imageId: string): ContainerUse => ({
  containerId,
  imageId,
  imageRef: imageId,
  imageNames: [],
  imageVolumes: [],
});
