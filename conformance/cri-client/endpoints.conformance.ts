import type { ConformanceAdapter, ConformanceCase } from '@stowage/conformance';
import { grpcTarget, parseEndpoint, splitEndpoint } from '../../libs/cri-client/src/endpoint';
import { connectImageService } from '../../libs/cri-client/src/image-service';
import { connectRuntimeService } from '../../libs/cri-client/src/runtime-service';

interface SplitCase extends ConformanceCase {
  readonly in: string;
  readonly protocol: string;
  readonly address: string | null;
  readonly error: string | null;
}
interface DialCase extends ConformanceCase {
  readonly in: string;
  readonly address: string | null;
  readonly error: string | null;
  readonly bare_path_fallback_used?: boolean;
}
interface TargetCase extends ConformanceCase {
  readonly address: string;
  readonly target: string;
}
interface BuilderCase extends ConformanceCase {
  readonly endpoint: string;
  readonly timeout_seconds: number;
  readonly error: string | null;
}

export const conformance: ConformanceAdapter = {
  file: 'endpoints',
  sections: {
    unix_split: (testCase: SplitCase) => {
      const { protocol, address, error } = testCase;
      const got = splitEndpoint(testCase.in);
      return {
        want: { protocol, address, error },
        got: {
          protocol: got.protocol,
          address: got.error === undefined ? got.address : null,
          error: got.error ?? null,
        },
      };
    },
    unix_dial: (testCase: DialCase) => {
      const { address, error, bare_path_fallback_used: isBarePath } = testCase;
      const isKnown = isBarePath !== undefined && error == null;
      try {
        const got = parseEndpoint(testCase.in);
        return {
          want: { address, error, isBarePath: isKnown ? isBarePath : undefined },
          got: {
            address: got.address,
            error: null,
            isBarePath: isKnown ? got.isBarePath : undefined,
          },
        };
      } catch (thrown) {
        return {
          want: { address, error },
          got: { address: null, error: (thrown as Error).message },
        };
      }
    },
    grpc_target: ({ address, target }: TargetCase) => ({ want: target, got: grpcTarget(address) }),
    builder: ({ endpoint, timeout_seconds: seconds, error }: BuilderCase) => ({
      want: [error, error],
      got: [connectRuntimeService, connectImageService].map((connect) => {
        try {
          connect({ endpoint, timeoutMs: seconds * 1000 }).close();
          return null;
        } catch (thrown) {
          return (thrown as Error).message;
        }
      }),
    }),
  },
};
