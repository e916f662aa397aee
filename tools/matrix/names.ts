/** What a name of the matrix stands for. */
export type Target =
  /** A suite of Debian, with its own containerd, NATS and Node.js. */
  | { readonly kind: 'debian'; readonly suite: string }
  /** The machine's own stack, with the latest Node.js of this line. */
  | { readonly kind: 'node'; readonly version: string };

/** In the order of the table. */
export const targets: Readonly<Record<string, Target>> = {
  debian13: { kind: 'debian', suite: 'trixie' },
  'debian-testing': { kind: 'debian', suite: 'testing' },
  'node-22.14': { kind: 'node', version: '22.14' },
  'node-22': { kind: 'node', version: '22' },
  'node-24.0': { kind: 'node', version: '24.0' },
  'node-24': { kind: 'node', version: '24' },
  'node-26': { kind: 'node', version: '26' },
};
