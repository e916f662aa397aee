import type { FindingId } from './finding';
import { natsProblem, runtimeProblem, stateProblem } from './reason-findings';

/** A part of a service that is not ok, as its health has it. */
export interface TroubledComponent {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
}

/** Components that are about one thing, whatever their reason says. */
const byName: Readonly<Record<string, FindingId>> = {
  policy: 'policy-refused',
  collection: 'collection-fell-short',
  'image-use': 'use-unknown',
  'image-filesystem': 'image-filesystem-unseen',
};

/** What it means that a part of a service is not ok, by its reason first. */
export function componentFinding({ name, state, reason = '' }: TroubledComponent): FindingId {
  const ofState = stateProblem(reason);
  if (ofState !== undefined) return ofState;
  if (name === 'nats') return natsProblem(reason);
  const isOfRuntime = name === 'docker' || name.includes('runtime');
  if (isOfRuntime || /container runtime at \S+ is unavailable/.test(reason)) {
    return runtimeProblem(reason);
  }
  return byName[name] ?? (state === 'down' ? 'service-down' : 'service-degraded');
}
