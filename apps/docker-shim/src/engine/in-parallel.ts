/**
 * Does the work for each item, `limit` at a time. When one fails no further ones are begun, and the
 * first failure is thrown once those under way have ended.
 */
export async function inParallel<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = [...items];
  const failures: unknown[] = [];
  const worker = async () => {
    while (left.length > 0 && failures.length === 0) {
      const [item] = left.splice(0, 1) as [T];
      await work(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
}
