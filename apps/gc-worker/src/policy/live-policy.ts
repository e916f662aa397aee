import type { ReloadCause } from '@stowage/service-kit';
import { compileExempt, exemptions, needsLabels, type Exemption, type ExemptMatch } from './exempt';
import type { CollectionPolicy } from './policy';

/**
 * What reading the configuration anew gave: a policy and the keys that only a restart can change,
 * or what is wrong.
 */
export type PolicyRead =
  | { readonly policy: CollectionPolicy; readonly needRestart: readonly string[] }
  | { readonly problem: string };

export interface LivePolicyParts {
  readonly first: CollectionPolicy;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  readonly metrics: { policyReloaded(result: 'taken' | 'refused'): void };
  readonly health: (problem: string | undefined) => void;
  readonly now: () => number;
}

/** The policy that applies now, with what its exempt rules mean. */
export interface CurrentPolicy {
  readonly current: CollectionPolicy;
  readonly exempt: ExemptMatch;
  /** Its exempt patterns and rules one by one. */
  readonly exemptions: readonly Exemption[];
  /** Exempt rules look at labels: then every image's must be known before one may go. */
  readonly needsLabels: boolean;
}

/** A policy that does not change. */
export const fixedPolicy = (policy: CollectionPolicy): CurrentPolicy => ({
  current: policy,
  exempt: compileExempt(policy.exemptImages, policy.exemptRules),
  exemptions: exemptions(policy.exemptImages, policy.exemptRules),
  needsLabels: needsLabels(policy.exemptRules),
});

/**
 * The policy that counts now. It is replaced as a whole, and only by one that is right: a bad one
 * is refused with the reason and the old one stays.
 */
export class LivePolicy implements CurrentPolicy {
  #policy: CurrentPolicy;
  #refused: { at: number; reason: string } | undefined;
  readonly #listeners: (() => void)[] = [];

  constructor(private readonly parts: LivePolicyParts) {
    this.#policy = fixedPolicy(parts.first);
    parts.health(undefined);
  }

  get current(): CollectionPolicy {
    return this.#policy.current;
  }

  get exempt(): ExemptMatch {
    return this.#policy.exempt;
  }

  get exemptions(): readonly Exemption[] {
    return this.#policy.exemptions;
  }

  get needsLabels(): boolean {
    return this.#policy.needsLabels;
  }

  /** The last change that was refused, while it stands in the files. */
  lastRefusal(): { at: number; reason: string } | undefined {
    return this.#refused;
  }

  /** Called after each change that was taken. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Takes what was read, unless it is wrong. */
  take(found: PolicyRead, cause: ReloadCause): void {
    const { log, metrics, health, now } = this.parts;
    if ('problem' in found) {
      const isNews = found.problem !== this.#refused?.reason;
      this.#refused = { at: now(), reason: found.problem };
      if (isNews || cause === 'SIGHUP') {
        metrics.policyReloaded('refused');
        log.warn({ cause, reason: found.problem }, 'new policy refused: the old one stays');
      }
      health(`the new policy is refused, the old one stays: ${found.problem}`);
      return;
    }
    this.#refused = undefined;
    health(undefined);
    const { needRestart, policy } = found;
    if (needRestart.length > 0) {
      log.warn({ cause, keys: needRestart }, 'changed settings that need a restart');
    }
    if (JSON.stringify(policy) === JSON.stringify(this.current)) {
      if (cause === 'SIGHUP') log.info({ cause }, 'policy unchanged');
      return;
    }
    const changed = changedFields(this.current, policy);
    this.#policy = fixedPolicy(policy);
    metrics.policyReloaded('taken');
    log.info({ cause, changed }, 'new policy taken');
    for (const listener of this.#listeners) listener();
  }
}

const changedFields = (before: CollectionPolicy, after: CollectionPolicy): string[] =>
  (Object.keys(after) as (keyof CollectionPolicy)[]).filter(
    (field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]),
  );
