import type { ImageDetector } from '../detect/detect-images';
import type { Mutex } from '@stowage/async';
import type { PlanImage } from '../policy/keep-rules';
import type { RemovalReports } from './removal-reports';

/**
 * Detections beside collections. None runs while a batch of removals does: an image that goes
 * between a detection's list and its records would come back as vanished. And none runs before the
 * removals so far are reported, for the same reason.
 */
export class Detections {
  constructor(
    private readonly detector: Pick<ImageDetector, 'detect'>,
    private readonly reports: Pick<RemovalReports, 'settle'>,
    private readonly lock: Mutex,
  ) {}

  /** As {@link ImageDetector.detect}. */
  detect(options: { signal: AbortSignal }): Promise<PlanImage[]> {
    return this.lock.run(async () => {
      await this.reports.settle();
      return this.detector.detect(options);
    });
  }
}
