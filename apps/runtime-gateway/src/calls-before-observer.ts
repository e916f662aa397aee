import type { ObservedCall } from '@stowage/cri-endpoint';
import { isObserved } from './call-observer';
import type { RuntimeObserver } from './runtime-observer';

/** What of the observer hears of calls. */
export type CallsOf = Pick<
  RuntimeObserver,
  'observes' | 'callStarted' | 'callRequested' | 'callEnded'
>;

/** Calls that are kept at most; what more of them did is found by the first listing. */
const maxKept = 10_000;

/**
 * Stands for the observer while there is none: an instance that takes over serves calls before it has the state folder. Keeps what it
 * hears of calls, in order, and hands it to the observer once that is there.
 */
export class CallsBeforeObserver implements CallsOf {
  #observer: CallsOf | undefined;
  #kept: ((observer: CallsOf) => void)[] = [];

  observes(path: string): boolean {
    return isObserved(path);
  }

  callStarted(path: string): void {
    if (isObserved(path)) this.#tell((observer) => observer.callStarted(path));
  }

  callRequested(path: string, request: Uint8Array): void {
    this.#tell((observer) => observer.callRequested(path, request));
  }

  callEnded(call: ObservedCall): void {
    this.#tell((observer) => observer.callEnded(call));
  }

  handTo(observer: CallsOf): void {
    this.#observer = observer;
    for (const tell of this.#kept.splice(0)) tell(observer);
  }

  #tell(tell: (observer: CallsOf) => void): void {
    if (this.#observer !== undefined) tell(this.#observer);
    else if (this.#kept.length < maxKept) this.#kept.push(tell);
  }
}
