import type { PlanRequest } from '../collect/plan-collection';
import type { ControlFile } from './control-file';

/** Plans that are remembered; older ones are forgotten. */
const remembered = 32;

/** Plans of collections in shadow, over restarts: `run` may name them once `collect` is on. */
export class ShadowPlans {
  constructor(private readonly file: Pick<ControlFile, 'shadowPlans' | 'setShadowPlans'>) {}

  /** Whether the last collection in shadow had this plan. */
  isLast(planId: string): boolean {
    return this.file.shadowPlans.at(-1)?.planId === planId;
  }

  /** The request of a plan; undefined where the plan is not known. */
  find(planId: string): PlanRequest | undefined {
    const plan = this.file.shadowPlans.find((known) => known.planId === planId);
    return plan && { bytes: plan.bytes, assumedAgeMs: plan.assumedAgeMs };
  }

  add(planId: string, { bytes, assumedAgeMs }: PlanRequest): void {
    const others = this.#without(planId).slice(1 - remembered);
    this.file.setShadowPlans([...others, { planId, bytes, assumedAgeMs }]);
  }

  /** The plan was carried out. */
  forget(planId: string): void {
    if (this.find(planId) !== undefined) this.file.setShadowPlans(this.#without(planId));
  }

  #without(planId: string) {
    return this.file.shadowPlans.filter((known) => known.planId !== planId);
  }
}
