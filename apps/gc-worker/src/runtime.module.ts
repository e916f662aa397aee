import { Module } from '@nestjs/common';
import {
  IMAGE_RUNTIME,
  imageRuntimeProvider,
  provider,
  RUNTIME,
  runtimeProvider,
} from '@stowage/service-kit';
import { CONTEXT } from './config';
import { ImageList } from './detect/image-list';
import { CriRuntime } from './runtime/cri-runtime';
import { StateModule } from './state.module';
import { GC_RUNTIME, IMAGE_LIST, LOCK, METRICS } from './tokens';

const providers = [
  runtimeProvider(CONTEXT, { after: [LOCK] }),
  imageRuntimeProvider(CONTEXT, { after: [LOCK] }),
  provider(GC_RUNTIME, [RUNTIME, IMAGE_RUNTIME], (...clients) => new CriRuntime(...clients)),
  provider(
    IMAGE_LIST,
    [CONTEXT, METRICS, GC_RUNTIME],
    ({ log }, { detection: metrics }, runtime) =>
      new ImageList({ runtime, metrics, log, now: () => Date.now() }),
  ),
];

/** The container runtime, which this worker has alone. */
@Module({ imports: [StateModule], providers, exports: providers })
export class RuntimeModule {}
