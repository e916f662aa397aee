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
  ...['pods', 'pull-secrets', 'account-tokens'].map((scenario) => ({
    scenario,
    what: /message|image events/,
    without: / \[tried: [^\]]*\]/g,
    reason:
      'image-service adds to the message of a failed pull which credentials it has tried, so that it can be read in the status of the pod',
  })),
  // What a call comes to that is open when a service ends depends on the moment, as it does for
  // containerd on the runtime itself.
  ...(['restart', 'kill'] as const).flatMap((scenario): KnownDifference[] => [
    {
      scenario,
      what: /^an ExecSync/,
      through: /^(200 begun, ended|500 rpc error: code = (Unavailable|Unknown) .*)$/,
      reason:
        'an exec that is open when a gateway ends is cut and kubelet reports its error; a take-over cuts none',
    },
    {
      scenario,
      what: /^a StopContainer/,
      through: /^asked(, ended)?$/,
      reason:
        'when the StopContainer is cut kubelet goes on with StopPodSandbox, which kills what still runs; a take-over cuts none',
    },
    {
      scenario,
      what: /^a preStop hook/,
      through: /^hook begun(, (hook begun|hook ended|asked))*$/,
      reason:
        'when the hook is cut kubelet begins it anew, or goes on with StopPodSandbox; a take-over cuts none',
    },
    {
      scenario,
      what: /^times that its layer was fetched$/,
      through: /^[12]$/,
      reason: 'a pull that is cut is begun anew by kubelet; a take-over cuts none',
    },
  ]),
];
