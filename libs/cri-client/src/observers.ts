import type { CriCallObserver, CriCallSpan } from './types';

/** Combines many observers. Each is notified of every call; headers add up, later ones win. */
export function combineObservers(...observers: readonly CriCallObserver[]): CriCallObserver {
  return {
    callStarted(call) {
      const spans = observers.map((observer) => each(() => observer.callStarted(call)));
      const headers = Object.assign({}, ...spans.map((span) => span?.headers)) as NonNullable<
        CriCallSpan['headers']
      >;
      return {
        headers,
        ended: (outcome) => {
          for (const span of spans) each(() => span?.ended?.(outcome));
        },
      };
    },
  };
}

/** An observer that throws does not affect the others. */
function each<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}
