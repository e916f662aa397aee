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
  /** Calls whose start was kept and whose end was not yet, by path. */
  readonly #open = new Map<string, number>();

  observes(path: string): boolean {
    return isObserved(path);
  }

  started(path: string): void {
    if (this.#pass((observer) => observer.started(path))) this.#count(path, 1);
  }

  requested(path: string, request: Uint8Array): void {
    this.#pass((observer) => observer.requested(path, request));
  }

  ended(call: ObservedCall): void {
    const { method } = call;
    if (this.#pass((observer) => observer.ended(call))) {
      this.#count(method, -1);
    } else if ((this.#open.get(method) ?? 0) > 0) {
      // The observer would else wait for the end of a call for ever.
      const unread = { ...call, request: undefined, response: undefined };
      this.#kept.push((observer) => observer.ended(unread));
      this.#count(method, -1);
    }
  }

  handTo(observer: ObserverOfCalls): void {
    this.#observer = observer;
    for (const pass of this.#kept.splice(0)) pass(observer);
  }

  #count(path: string, more: number): void {
    if (this.#observer !== undefined) return;
    this.#open.set(path, Math.max(0, (this.#open.get(path) ?? 0) + more));
  }

  /** False when there is no room to keep it. */
  #pass(pass: (observer: ObserverOfCalls) => void): boolean {
    if (this.#observer !== undefined) pass(this.#observer);
    else if (this.#kept.length < maxKept) this.#kept.push(pass);
    else return false;
    return true;
  }
}
