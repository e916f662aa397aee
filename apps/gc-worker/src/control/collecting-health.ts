import type { HealthReport } from '@stowage/service-kit';
import type { CollectionPolicy } from '../policy/policy';
import type { ExceededThreshold } from '../records/exceeded-threshold';
import type { Pause } from './control-file';

/**
 * What health says of whether images are removed at all. A pause is a problem only while a file
 * system needs a collection; shadow and off are what somebody wants.
 */
export function collectingHealth(
  collect: CollectionPolicy['collect'],
  pause: Pause | undefined,
  exceeded: readonly ExceededThreshold[],
): HealthReport {
  if (pause !== undefined) {
    const text = `collection is paused until ${new Date(pause.until).toISOString()}: ${pause.reason}`;
    const full = exceeded.find(({ role, level }) => role === 'image' && level !== 'warning');
    return full === undefined
      ? { state: 'ok', note: text }
      : { state: 'degraded', reason: `${full.mountpoint} is beyond its threshold, and ${text}` };
  }
  switch (collect) {
    case 'shadow':
      return { state: 'ok', note: 'shadow: collections are planned and remove nothing' };
    case 'off':
      return { state: 'ok', note: 'off: there are no collections' };
    case 'on':
      return { state: 'ok' };
  }
}
