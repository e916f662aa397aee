import { Controller } from '@nestjs/common';
import { defineCommand } from '@stowage/commands';
import * as z from 'zod';
import { Handles, Injects, type CommandCall } from '../../src/index';
import { CENSUS, type Census } from './census';

/** A service of the suite has its commands in `@stowage/commands`. */
export const count = defineCommand({
  app: 'image-census',
  verb: 'count',
  description: 'Counts the images that were seen.',
  answered: 'by-default',
  input: z.strictObject({}),
  reply: z.object({ runtime: z.string(), images: z.number() }),
  example: { input: {}, reply: { runtime: 'containerd', images: 3 } },
});

@Controller()
export class CommandsController {
  constructor(@Injects(CENSUS) private readonly census: Pick<Census, 'count'>) {}

  @Handles(count)
  count(_input: object, call: CommandCall) {
    return this.census.count(call);
  }
}
