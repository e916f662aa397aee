import type { Expected, Observations } from './compare';
import type { Lab } from './lab';

/** Something that is played in the same way on the runtime itself and through Stowage. */
export interface Scenario {
  readonly name: string;
  /** One line for `--help`. */
  readonly text: string;
  /**
   * What has to be seen on every way. What is seen beside it is compared with the runtime itself.
   */
  readonly expected: Expected;
  /** Whether it is played only when it is asked for: it takes long. */
  readonly onlyWith?: 'soak';
  /**
   * `api-server`: it is played where the programs of one are given; `docker`: where the runtime is
   * docker-shim.
   */
  readonly needs?: 'api-server' | 'docker';
  /**
   * It is played on a stack of its own, with a file system of so many MiB for images. Absent: on
   * that of all others.
   */
  readonly imageFileSystemMb?: number;
  /**
   * Plays it on a running stack, with the services and kubelet as every scenario finds them, and
   * leaves them so. Pods that it has added are removed after it. Rejects when it cannot be played
   * to its end.
   */
  play(lab: Lab): Promise<Observations>;
}
