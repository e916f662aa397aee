import 'reflect-metadata';
import { Controller } from '@nestjs/common';
import { defineCommand } from '@stowage/commands';
import * as z from 'zod';
import { handledCommands, Handles } from './handles';
import type { CommandCall } from './types';

const pull = defineCommand({
  app: 'image-service',
  verb: 'pull',
  description: 'Pulls.',
  answered: 'by-default',
  input: z.strictObject({ image: z.string(), priority: z.int().default(0) }),
  reply: z.object({
    imageId: z.string(),
    layers: z.array(z.object({ digest: z.string(), bytes: z.int().optional() })),
  }),
  example: { input: { image: 'a' }, reply: { imageId: 'sha256:a', layers: [] } },
});
const stats = defineCommand({ ...pull, verb: 'stats' });

const answer = { imageId: 'sha256:a', layers: [{ digest: 'd' }] };

@Controller()
class Images {
  @Handles(pull)
  pull({ image, priority }: { image: string; priority: number }, { verb }: CommandCall) {
    return Promise.resolve({ ...answer, imageId: `${verb} ${image} ${priority}` });
  }

  @Handles(stats)
  stats(): { readonly imageId: string; readonly layers: readonly { digest: string }[] } {
    return answer;
  }

  other(): object {
    return answer;
  }
}

it('a controller’s commands are those of the methods that handle one', () => {
  expect(handledCommands(Images)).toEqual([pull, stats]);
});

/* What follows is not run: each method breaks the contract, and the compiler has to say so. */
export class Wrong {
  // @ts-expect-error -- the input has no such key
  @Handles(pull)
  input({ image, policy }: { image: string; policy: string }) {
    return { ...answer, imageId: `${image} ${policy}` };
  }

  // @ts-expect-error -- `layers` is missing
  @Handles(pull)
  missing() {
    return { imageId: 'sha256:a' };
  }

  // @ts-expect-error -- `bytes` is a number
  @Handles(pull)
  type() {
    return { imageId: 'sha256:a', layers: [{ digest: 'd', bytes: '7' }] };
  }

  // @ts-expect-error -- the contract names no `colour`
  @Handles(pull)
  undocumented() {
    return Promise.resolve({ ...answer, colour: 'red' });
  }

  // @ts-expect-error -- nor one further down, in some replies only
  @Handles(pull)
  undocumentedBelow() {
    const layers: { digest: string; colour?: string }[] = [];
    return { imageId: 'sha256:a', layers };
  }
}
