/** Reports something to a listener; one that throws must not affect calls and connections. */
export function notify(report: () => void): void {
  try {
    report();
  } catch {
    // Its own fault, which it has to log.
  }
}
