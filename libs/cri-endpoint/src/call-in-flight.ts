/** A call that has not ended. */
export interface CallInFlight {
  /**
   * Ends the call with UNAVAILABLE because `service` is closing; nothing happens when it has ended.
   */
  stop(service: string): void;
}
