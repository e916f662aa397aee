/**
 * Runs one task per key at a time: who asks for a key whose task runs waits for that task. A waiter
 * whose signal is aborted leaves at once; when the last one leaves, the task's own signal is
 * aborted.
 */
export class SingleFlight<T> {
  private readonly flights = new Map<
    string,
    { task: Promise<T>; controller: AbortController; waiters: number }
  >();

  async run(
    key: string,
    start: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    signal?.throwIfAborted();
    const flight = this.flights.get(key) ?? this.start(key, start);
    flight.waiters++;
    try {
      return await (signal == null ? flight.task : abortable(flight.task, signal));
    } finally {
      flight.waiters--;
      if (flight.waiters === 0 && this.flights.get(key) === flight) {
        this.flights.delete(key);
        flight.controller.abort();
      }
    }
  }

  private start(key: string, start: (signal: AbortSignal) => Promise<T>) {
    const controller = new AbortController();
    const task = start(controller.signal);
    task.catch(() => undefined); // every waiter may have left
    const flight = { task, controller, waiters: 0 };
    this.flights.set(key, flight);
    return flight;
  }
}

function abortable<T>(task: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    task.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
