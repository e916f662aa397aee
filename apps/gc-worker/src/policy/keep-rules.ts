import { keepRules, type removeRules } from '@stowage/commands';
import type { ImageRecord, ImageUser } from '../records/image-record';

/**
 * A rule that keeps an image. The first that applies decides, in the order of {@link keepRules}.
 */
export type KeepRule = (typeof keepRules)[number];

/** A rule that removes an image. */
export type RemoveRule = (typeof removeRules)[number];

/** A reason to keep an image that is neither in use nor pinned by the runtime. */
export type Protection =
  | { readonly rule: 'sandbox-image'; readonly reference: string }
  | { readonly rule: 'exempt'; readonly pattern: string }
  | { readonly rule: 'pull-in-progress'; readonly reference: string; readonly since: number }
  | { readonly rule: 'container-creating'; readonly reference: string; readonly since: number }
  | { readonly rule: 'held'; readonly until: number; readonly reason?: string }
  /** Who uses it cannot be known now. */
  | { readonly rule: 'use-unknown'; readonly reason: string };

/** An image as the planner looks at it. */
export interface PlanImage extends ImageRecord {
  readonly protections?: readonly Protection[];
  /**
   * Digests of its unpacked layers, lowest first; absent where the runtime does not report them.
   */
  readonly layers?: readonly string[];
  /**
   * Since when it counts as known, where its age is assumed: it was there when the records began.
   * Milliseconds since the epoch.
   */
  readonly assumedSince?: number;
}

/** Verdict on one image. */
export interface PlannedImage {
  readonly imageId: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly runtimeHandler: string;
  readonly verdict: 'keep' | 'remove';
  /** The rule that decided. */
  readonly rule: KeepRule | RemoveRule;
  /** The rule in words, with the facts of this image. */
  readonly why: string;
  /** Place in removal order, from 1; absent for images that cannot be removed at all. */
  readonly order?: number;
  /** Size the runtime reports; layers shared with other images are in it. */
  readonly sizeBytes: number;
  /**
   * What removal is expected to free after the removals before it, in the runtime's sizes; shared
   * layers count once.
   */
  readonly expectedBytes: number;
  /**
   * True where the runtime does not report enough about layers: the expectation may be too high.
   */
  readonly expectedIsEstimate: boolean;
  readonly pinned: boolean;
  readonly firstDetected: number | null;
  readonly lastUsed: number | null;
  /** As in {@link PlanImage}. */
  readonly assumedSince?: number;
  readonly usedBy: readonly ImageUser[];
}

/** The protection that decides over an image, by the order of {@link keepRules}. */
export function firstProtection(image: PlanImage): { rule: KeepRule; why: string } | undefined {
  const [user] = image.usedBy;
  if (user !== undefined) return { rule: 'in-use', why: usersText(user, image.usedBy.length) };
  if (image.pinned) return { rule: 'pinned', why: 'pinned by the runtime' };
  const protections = [...(image.protections ?? [])].sort(
    (a, b) => keepRules.indexOf(a.rule) - keepRules.indexOf(b.rule),
  );
  const [first] = protections;
  return first === undefined ? undefined : { rule: first.rule, why: protectionText(first) };
}

function protectionText(protection: Protection): string {
  switch (protection.rule) {
    case 'sandbox-image':
      return `the runtime starts pods with it (${protection.reference})`;
    case 'exempt':
      return `exempt by ${protection.pattern}`;
    case 'pull-in-progress':
      return `a pull of ${protection.reference} has been running since ${timeText(protection.since)}`;
    case 'container-creating':
      return `a container of ${protection.reference} was asked for at ${timeText(protection.since)}`;
    case 'held':
      return `held until ${timeText(protection.until)}${protection.reason === undefined ? '' : `: ${protection.reason}`}`;
    case 'use-unknown':
      return protection.reason;
  }
}

/** Who uses an image, in words. */
export function userText({
  as,
  containerId,
  containerName,
  podNamespace,
  podName,
}: ImageUser): string {
  const pod = podName === undefined ? '' : ` of pod ${podNamespace ?? ''}/${podName}`;
  const what = as === 'container' ? 'container' : 'image volume of container';
  return `${what} ${containerName ?? containerId}${pod}`;
}

function usersText(user: ImageUser, count: number): string {
  const others = count > 1 ? ` and ${count - 1} more` : '';
  const missing =
    user.isMissing === true ? ', which is not listed any more and was not seen to be removed' : '';
  return `${userText(user)}${missing}${others}`;
}

const timeText = (ms: number): string => new Date(ms).toISOString();
