import { ImageFsInfoResponse } from '@stowage/cri-proto';
import { statfs } from 'node:fs/promises';
import { hasFeature } from '../engine/api-version';
import type { DiskUsage } from '../engine/engine-client';
import type { Engine, EngineConnection } from '../engine/engine-connection';
import { EngineResponseError } from '../engine/engine-errors';
import { filesFolder } from '../engine/files-folder';
import { untilAborted } from '../until-aborted';

/** What an engine keeps, and when it was measured. */
interface Measured {
  readonly imageBytes: number;
  /** Of the writable layers of all containers. */
  readonly containerBytes: number;
  /** A folder on the file system of both. */
  readonly mountpoint: string;
  readonly at: number;
}

/**
 * How long a measurement of images alone is good for, and one that goes through all files of all
 * containers; milliseconds.
 */
const keptMs = { images: 30_000, everything: 300_000 };

/**
 * While the engine measures for somebody else: how often it is asked again, and for how long;
 * milliseconds.
 */
const busy = { pauseMs: 500, limitMs: 60_000 };

/** ImageFsInfo: measured by the engine, one measurement at a time, and kept for a while. */
export class ImageFsInfo {
  #measured: { readonly engineId: string; readonly value: Measured } | undefined;
  #containers:
    { readonly engineId: string; readonly bytes: number; readonly at: number } | undefined;
  #isChanged = false;
  #measuring: Promise<Measured> | undefined;

  /**
   * @param containerdRoot where containerd keeps its files when it is the image store; empty to
   *   look for it.
   */
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly containerdRoot: string,
    private readonly now: () => number = Date.now,
  ) {}

  /**
   * Images came or went: the next call measures again; where that measures everything, at most
   * every 30 s.
   */
  changed(): void {
    this.#isChanged = true;
  }

  /**
   * The figures are dated as of the call while no image came or went after they were measured:
   * kubelet evicts only on figures that are newer than those before (`thresholdsUpdatedStats`).
   */
  async get({ signal }: { readonly signal: AbortSignal }): Promise<ImageFsInfoResponse> {
    const engine = this.connection.engine();
    const { imageBytes, containerBytes, mountpoint, at } = await untilAborted(
      this.#current(engine),
      signal,
    );
    const { files, ffree } = await statfs(mountpoint);
    const asOf = this.#isChanged ? at : this.now();
    const usage = (bytes: number) => ({
      timestamp: BigInt(asOf) * 1_000_000n,
      fsId: { mountpoint },
      usedBytes: { value: BigInt(bytes) },
      inodesUsed: { value: BigInt(files - ffree) },
    });
    return ImageFsInfoResponse.fromPartial({
      imageFilesystems: [usage(imageBytes)],
      containerFilesystems: [usage(containerBytes)],
    });
  }

  #current(engine: Engine): Promise<Measured> {
    const measured = this.#measured;
    const isApart = hasFeature(engine.api, 'diskUsageByType');
    const usual = isApart ? keptMs.images : keptMs.everything;
    const changed = isApart ? 0 : keptMs.images;
    const ageMs = this.now() - (measured?.value.at ?? 0);
    const isFresh = ageMs < (this.#isChanged ? changed : usual);
    if (measured !== undefined && measured.engineId === engine.info.ID && isFresh) {
      return Promise.resolve(measured.value);
    }
    if (this.#measuring === undefined) this.#isChanged = false;
    this.#measuring ??= this.#measure(engine).finally(() => (this.#measuring = undefined));
    return this.#measuring;
  }

  async #measure(engine: Engine): Promise<Measured> {
    const engineId = engine.info.ID ?? '';
    const isApart = hasFeature(engine.api, 'diskUsageByType');
    const usage = await this.#ask(engine, isApart ? 'image' : undefined);
    const mountpoint = filesFolder(engine.info, this.containerdRoot);
    const value = {
      mountpoint,
      imageBytes: usage.ImageUsage?.TotalSize ?? usage.LayersSize ?? 0,
      containerBytes: isApart ? await this.#containerBytes(engine) : writableBytes(usage),
      at: this.now(),
    };
    this.#measured = { engineId, value };
    return value;
  }

  /** Of the writable layers, which take the engine long to measure. */
  async #containerBytes(engine: Engine): Promise<number> {
    const engineId = engine.info.ID ?? '';
    const kept = this.#containers;
    if (kept?.engineId === engineId && this.now() - kept.at < keptMs.everything) return kept.bytes;
    const bytes = writableBytes(await this.#ask(engine, 'container'));
    this.#containers = { engineId, bytes, at: this.now() };
    return bytes;
  }

  /** An engine before API 1.42 refuses to measure twice at once. */
  async #ask(
    { client, lost }: Engine,
    type: 'image' | 'container' | undefined,
  ): Promise<DiskUsage> {
    const until = performance.now() + busy.limitMs;
    for (;;) {
      try {
        return await client.diskUsage(type, { signal: lost });
      } catch (error) {
        const isBusy =
          error instanceof EngineResponseError && /already running/.test(error.message);
        if (!isBusy || performance.now() > until) throw error;
        await new Promise((resolve) => setTimeout(resolve, busy.pauseMs));
      }
    }
  }
}

const writableBytes = ({ Containers, ContainerUsage }: DiskUsage): number =>
  ContainerUsage?.TotalSize ??
  (Containers ?? []).reduce((sum, { SizeRw }) => sum + (SizeRw ?? 0), 0);
