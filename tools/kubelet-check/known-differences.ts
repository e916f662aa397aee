/** Something that is seen otherwise through Stowage than on the runtime itself, on purpose. */
export interface KnownDifference {
  readonly scenario: string;
  /** Matches the name of the observation. */
  readonly what: RegExp;
  /** The two texts are the same without what this matches. */
  readonly without?: RegExp;
  /** Instead of `without`: what is seen through Stowage. */
  readonly through?: RegExp;
  /** One sentence for who reads the result: why it is so. */
  readonly reason: string;
}

export const knownDifferences: readonly KnownDifference[] = [
  {
    scenario: 'pods',
    what: /message/,
    without: / \[tried: [^\]]*\]/g,
    reason:
      'image-service adds to the message of a failed pull which credentials it has tried, so that it can be read in the status of the pod',
  },
];
