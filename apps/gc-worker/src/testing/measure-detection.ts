// Measures detection and plan of one size in a process of its own: `node --expose-gc --import tsx
// measure-detection.ts IMAGES`. Prints JSON.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ListContainersResponse, ListImagesResponse } from '@stowage/cri-proto';
import { Registry } from 'prom-client';
import { CriRuntime } from '../runtime/cri-runtime';
import { ImageDetector } from '../detect/detect-images';
import { ImageContents } from '../detect/image-contents';
import { ImageHints } from '../detect/image-hints';
import { DetectionMetrics } from '../detect/detection-metrics';
import { planCollection } from '../collect/plan-collection';
import { collectionPolicy } from '../policy/policy';
import { ImageRecordStore } from '../records/record-store';
import { fixedPolicy } from '../policy/live-policy';
import { assessDisks } from '../disk/assess-disk';

const rounds = 9;
const memoryRounds = 4;

function cpuSince(begin: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}

const hex = (number: number): string => number.toString(16).padStart(64, '0');

/**
 * The two lists as they come over the wire, so that decoding is measured too; containers use every
 * second image.
 */
function wire(imageCount: number) {
  const images = Array.from({ length: imageCount }, (_, at) => ({
    id: `sha256:${hex(at)}`,
    repoTags: [`registry.example:5000/team-${at % 50}/app-${at}:1.${at % 10}.0`],
    repoDigests: [`registry.example:5000/team-${at % 50}/app-${at}@sha256:${hex(at + 1e9)}`],
    size: BigInt(50_000_000 + at),
  }));
  const containers = Array.from({ length: imageCount / 2 }, (_, at) => ({
    id: hex(at + 2e9),
    podSandboxId: hex(at + 3e9),
    metadata: { name: `app-${at}`, attempt: 0 },
    image: { image: images[at * 2]!.id },
    imageRef: images[at * 2]!.id,
    labels: {
      'io.kubernetes.container.name': `app-${at}`,
      'io.kubernetes.pod.name': `app-${at}-7d5c8b7c9d-x2x4z`,
      'io.kubernetes.pod.namespace': `team-${at % 50}`,
      'io.kubernetes.pod.uid': '4a1c2f6e-5d57-4a0e-9c43-0f1f4f6f8a11',
    },
  }));
  return {
    images: ListImagesResponse.encode(ListImagesResponse.fromPartial({ images })).finish(),
    containers: ListContainersResponse.encode(
      ListContainersResponse.fromPartial({ containers }),
    ).finish(),
  };
}

async function main(imageCount: number): Promise<void> {
  const folder = mkdtempSync(path.join(process.env.BENCH_DIR ?? tmpdir(), 'stowage-bench-gc-'));
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };
  const store = ImageRecordStore.open({
    stateDir: folder,
    keep: 'on-disk',
    now: () => new Date(),
    log: quiet,
  });
  const empty = wire(0);
  let bytes = empty;
  const runtime = new CriRuntime(
    {
      listContainers: () => Promise.resolve(ListContainersResponse.decode(bytes.containers)),
      containerStatus: () => Promise.resolve({ status: undefined, info: {} }),
      listPodSandbox: () => Promise.resolve({ items: [] }),
      status: () => Promise.resolve({ status: undefined, info: {} }),
    } as never,
    {
      listImages: () => Promise.resolve(ListImagesResponse.decode(bytes.images)),
      imageStatus: () => Promise.resolve({ image: {}, info: {} }),
    } as never,
  );
  const metrics = new DetectionMetrics(new Registry());
  const detector = new ImageDetector({
    runtime,
    store,
    metrics,
    holds: { of: () => undefined },
    began: { recordsBegan: undefined, setRecordsBegan: () => undefined },
    hints: new ImageHints({ maxPullMs: 3_600_000, maxHoldMs: 3_600_000 }),
    contents: new ImageContents(runtime),
    sandboxImage: '',
    lostContainerWaitMs: 30_000,
    policy: fixedPolicy(collectionPolicy({ regretWindowMs: 0 })),
    publishAll: () => undefined,
    nextSequence: () => 1,
    log: quiet,
    now: () => Date.now(),
  });
  const policy = collectionPolicy();
  const detectAndPlan = async () => {
    const images = await detector.detect({ signal: new AbortController().signal });
    const used = { capacityBytes: 1e12, availableBytes: 1e11, inodes: null, inodesFree: null };
    return planCollection({
      images,
      disks: assessDisks([{ mountpoint: '/images', ...used }], policy),
      policy,
      now: Date.now() + 3_600_000,
      collectingSince: 0,
    });
  };
  await detectAndPlan();
  const full = wire(imageCount);
  globalThis.gc?.();
  const idle = process.memoryUsage().rss;
  bytes = full;
  const before = process.cpuUsage();
  await detectAndPlan();
  const first = cpuSince(before);
  let peak = process.memoryUsage().rss;
  for (let round = 0; round < memoryRounds; round += 1) {
    // Detections are minutes apart; V8 collects in a pause of seconds, here it is asked to.
    globalThis.gc?.();
    await detectAndPlan();
    peak = Math.max(peak, process.memoryUsage().rss);
  }
  const cpuMs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const begin = process.cpuUsage();
    await detectAndPlan();
    cpuMs.push(cpuSince(begin));
  }
  store.close();
  rmSync(folder, { recursive: true });
  cpuMs.sort((a, b) => a - b);
  const median = cpuMs[Math.floor(cpuMs.length / 2)];
  process.stdout.write(
    `${JSON.stringify({ imageCount, cpuMs: median, firstCpuMs: first, aboveIdleBytes: peak - idle })}\n`,
  );
}

void main(Number(process.argv[2] ?? 10_000));
