import type { OnApplicationBootstrap } from '@nestjs/common';
import type { RuntimeObserver } from './observe/runtime-observer';
import type { GatewaySockets } from './sockets/gateway-sockets';

/** Joins the observer to the sockets, and starts both. */
export class Gateway implements OnApplicationBootstrap {
  constructor(
    private readonly sockets: Pick<
      GatewaySockets,
      'observeWith' | 'isOpen' | 'open' | 'stopObserving'
    >,
    private readonly observer: Pick<RuntimeObserver, 'calls' | 'start'>,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.sockets.observeWith(this.observer.calls);
    if (!this.sockets.isOpen) await this.sockets.open();
    this.observer.start();
  }

  /** What calls in flight do from now on is seen by the instance that has taken over. */
  stopObserving(): void {
    this.sockets.stopObserving();
  }
}
