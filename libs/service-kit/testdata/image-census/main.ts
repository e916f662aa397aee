/* A whole service on the parts of the kit: the spec of the wiring starts it as a process. */
import { runService } from '../../src/index';
import { ImageCensusModule } from './app.module';
import { config } from './config';

void runService({ config, module: () => ImageCensusModule });
