import { existsSync } from 'node:fs';
import path from 'node:path';
import type { EngineInfo } from './engine-client';
import { imageStore } from './image-store';

/**
 * A folder on the file system where the engine keeps images and what containers write.
 *
 * @param containerdRoot where containerd keeps its files when it is the image store; empty to look
 *   for it.
 */
export function filesFolder(info: EngineInfo, containerdRoot: string): string {
  const root = info.DockerRootDir ?? '/var/lib/docker';
  if (imageStore(info) === 'graph-driver') return root;
  const own = path.join(root, 'containerd');
  const candidates = [containerdRoot, own, '/var/lib/containerd'];
  return candidates.find((folder) => folder !== '' && existsSync(folder)) ?? root;
}
