import { FailedPreconditionError, toGrpcStatus } from '@stowage/errors';
import { kubeletErrorText } from './errors';
import { quoteGo } from './go-text';
import type { CriServiceName, CriVersion } from './types';

export interface VersionNegotiation {
  readonly service: CriServiceName;
  readonly endpoint: string;
  readonly versions: 'v1' | 'v1-or-v1alpha2';
  /**
   * Makes kubelet's first call, in v1: Version for the runtime service, ImageFsInfo for the image
   * service.
   */
  probe(): Promise<unknown>;
}

/**
 * Finds out which package a runtime serves, on a new connection. A runtime that does not implement
 * the probe's v1 is assumed to serve v1alpha2, as kubelet 1.23 to 1.25 did. Throws
 * FailedPreconditionError with kubelet's text of the time.
 */
export async function negotiateVersion(negotiation: VersionNegotiation): Promise<CriVersion> {
  const { service, endpoint, versions } = negotiation;
  try {
    await negotiation.probe();
    return 'v1';
  } catch (cause) {
    if (versions === 'v1') {
      throw new FailedPreconditionError(
        `validate service connection: validate CRI v1 ${service} API for endpoint ${quoteGo(endpoint)}: ${kubeletErrorText(cause)}`,
        { cause },
      );
    }
    if (toGrpcStatus(cause).name === 'UNIMPLEMENTED') return 'v1alpha2';
    throw new FailedPreconditionError(
      `unable to determine ${service} API version: ${kubeletErrorText(cause)}`,
      { cause },
    );
  }
}
