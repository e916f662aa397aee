import { AsyncResource } from 'node:async_hooks';

/**
 * Gathers items and hands them over together, `withinMs` milliseconds after the first or when somebody asks for it, in the trace of the
 * first. `handOver` must not throw.
 */
export class Gathering<T> {
  private items: T[] = [];
  private waiting: { readonly timer: NodeJS.Timeout; readonly end: () => void } | undefined;

  constructor(
    private readonly withinMs: number,
    private readonly handOver: (items: readonly T[]) => void,
  ) {}

  add(item: T): void {
    this.items.push(item);
    if (this.waiting !== undefined) return;
    const end = AsyncResource.bind(() => {
      this.waiting = undefined;
      this.handOver(this.items.splice(0));
    });
    this.waiting = { end, timer: setTimeout(end, this.withinMs) };
  }

  /** Hands over what there is, now. */
  flush(): void {
    if (this.waiting === undefined) return;
    clearTimeout(this.waiting.timer);
    this.waiting.end();
  }
}
