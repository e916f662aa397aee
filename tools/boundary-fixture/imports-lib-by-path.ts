import { streamName } from '../../events/src/subjects';

export const stream = streamName;
