import { FailedPreconditionError, toGrpcStatus } from '@stowage/errors';
import { kubeletErrorText } from './errors';
import { quoteGo } from './go-text';
import type { CriServiceName, CriVersion } from './types';

export interface VersionNegotiation {
  readonly service: CriServiceName;
  readonly endpoint: string;
  readonly versions: 'v1' | 'v1-or-v1alpha2';
  /**
   * Makes kubelet's first call in a package: Version for the runtime service, ImageFsInfo for the
   * image service.
   */
  probe(version: CriVersion): Promise<unknown>;
}

/**
 * Finds out which package a runtime serves, on a new connection: v1, else v1alpha2, which is asked
 * for only where v1 is not implemented. Throws FailedPreconditionError with kubelet's text of the
 * time; where the endpoint implements neither, with the cause and what to do about it.
 */
export async function negotiateVersion(negotiation: VersionNegotiation): Promise<CriVersion> {
  const { service, endpoint, versions } = negotiation;
  try {
    await negotiation.probe('v1');
    return 'v1';
  } catch (cause) {
    if (versions === 'v1') {
      throw new FailedPreconditionError(
        `validate service connection: validate CRI v1 ${service} API for endpoint ${quoteGo(endpoint)}: ${kubeletErrorText(cause)}`,
        { cause },
      );
    }
    if (!isUnimplemented(cause)) throw undetermined(service, cause);
  }
  try {
    await negotiation.probe('v1alpha2');
    return 'v1alpha2';
  } catch (cause) {
    if (!isUnimplemented(cause)) throw undetermined(service, cause);
    throw new FailedPreconditionError(notServedText(service), { cause });
  }
}

const isUnimplemented = (error: unknown): boolean => toGrpcStatus(error).name === 'UNIMPLEMENTED';

const undetermined = (service: CriServiceName, cause: unknown): FailedPreconditionError =>
  new FailedPreconditionError(
    `unable to determine ${service} API version: ${kubeletErrorText(cause)}`,
    { cause },
  );

/** One line: the reason in health, events and errors. */
const notServedText = (service: CriServiceName): string =>
  `it answers but does not serve the CRI's ${service} service, neither v1 nor v1alpha2. ` +
  "In containerd the CRI plugin is switched off, as in Docker's own package, or failed to load " +
  '(`ctr plugins ls` shows it): take "cri" out of disabled_plugins in ' +
  '/etc/containerd/config.toml and restart containerd';
