import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { wholeNumber } from './kernel-text';
import { isAbsent, readText } from './read-text';
import type { HugePages } from './usage';

/** Huge pages of each size that the kernel has. */
export async function hugePages(
  dir: string | undefined,
  current: string,
  highest: string,
): Promise<HugePages[]> {
  if (dir === undefined) return [];
  const names = await readdir(dir).catch((error: unknown) => {
    if (isAbsent(error)) return [];
    throw error;
  });
  const suffix = `.${current}`;
  const sizes = names
    .filter((name) => name.startsWith('hugetlb.') && name.endsWith(suffix))
    .map((name) => name.slice('hugetlb.'.length, -suffix.length))
    .filter((size) => !size.includes('.'));
  return sizes.map((pageSize) => {
    const value = (file: string) =>
      wholeNumber(readText(path.join(dir, `hugetlb.${pageSize}.${file}`)));
    const usedBytes = value(current) ?? 0n;
    return { pageSize, usedBytes, highestBytes: value(highest) ?? usedBytes };
  });
}
