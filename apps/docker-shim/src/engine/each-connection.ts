import type { EngineConnection } from './engine-connection';

/** Work that is due whenever the engine is connected; one time after the other. */
export class EachConnection {
  readonly #over = new AbortController();
  readonly #stopListening: () => void;
  #running: Promise<void> = Promise.resolve();

  /** @param work never rejects; its signal is aborted at the end. */
  constructor(
    connection: Pick<EngineConnection, 'availability' | 'onAvailability'>,
    work: (signal: AbortSignal) => Promise<void>,
  ) {
    const begin = () => {
      this.#running = this.#running.then(() => work(this.signal));
    };
    this.#stopListening = connection.onAvailability(({ available }) => {
      if (available) begin();
    });
    if (connection.availability().available) begin();
  }

  /** Aborted at the end. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  async close(): Promise<void> {
    this.#stopListening();
    this.#over.abort();
    await this.#running;
  }
}
