import type { MessageObserver, ObservedCall } from '@stowage/cri-endpoint';
import { isObserved } from '../observe/call-observer';

/** What observes the calls of the main socket. */
export type ObserverOfCalls = Required<MessageObserver>;

/** Calls that are kept at most; what more of them did is found by the first listing. */
const maxKept = 10_000;

/**
 * Stands in for the observer while there is none: an instance that takes over serves calls before
 * it has the state folder. Keeps what is reported of calls, in order, and hands it to the observer
 * once that is there.
 */
export class CallsBeforeObserver implements ObserverOfCalls {
  #observer: ObserverOfCalls | undefined;
  #kept: ((observer: ObserverOfCalls) => void)[] = [];

  observes(path: string): boolean {
    return isObserved(path);
  }

  started(path: string): void {
    this.#pass((observer) => observer.started(path));
  }

  requested(path: string, request: Uint8Array): void {
    this.#pass((observer) => observer.requested(path, request));
  }

  ended(call: ObservedCall): void {
    this.#pass((observer) => observer.ended(call));
  }

  handTo(observer: ObserverOfCalls): void {
    this.#observer = observer;
    for (const pass of this.#kept.splice(0)) pass(observer);
  }

  #pass(pass: (observer: ObserverOfCalls) => void): void {
    if (this.#observer !== undefined) pass(this.#observer);
    else if (this.#kept.length < maxKept) this.#kept.push(pass);
  }
}
