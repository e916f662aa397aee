import 'reflect-metadata';
import { Controller } from '@nestjs/common';
import * as z from 'zod';
import { Command, describeCommands } from './command';

const pullInput = z.strictObject({
  image: z.string().min(1).max(100).describe('What to pull'),
  policy: z.enum(['Always', 'Never']).optional(),
  auth: z.strictObject({ user: z.string() }).optional(),
  args: z.array(z.string()).min(1).max(9).default(['a']),
  bytes: z.int().positive().optional(),
  priority: z.int().min(-5).max(5).optional(),
});

@Controller()
class Images {
  @Command('pull', pullInput, { does: 'Pulls.', answers: '`{}`', timeoutMs: 'own' })
  pull(input: z.infer<typeof pullInput>) {
    return this.other(input);
  }

  @Command('stats', z.strictObject({}))
  stats() {
    return {};
  }

  other(input: object) {
    return input;
  }
}

it('a controller’s commands are described with the keys of their requests and their limits', () => {
  expect(describeCommands(Images)).toEqual([
    {
      verb: 'pull',
      does: 'Pulls.',
      answers: '`{}`',
      timeoutMs: 'own',
      fields: [
        {
          name: 'image',
          type: 'string, 1 to 100 characters',
          isRequired: true,
          meaning: 'What to pull',
        },
        { name: 'policy', type: 'Always, Never', isRequired: false, meaning: '' },
        { name: 'auth', type: 'object', isRequired: false, meaning: '' },
        { name: 'auth.user', type: 'string', isRequired: true, meaning: '' },
        {
          name: 'args',
          type: 'array of string, 1 to 9 entries, default ["a"]',
          isRequired: false,
          meaning: '',
        },
        { name: 'bytes', type: 'integer, 1 or more', isRequired: false, meaning: '' },
        { name: 'priority', type: 'integer, -5 to 5', isRequired: false, meaning: '' },
      ],
    },
    { verb: 'stats', fields: [], limitMs: 60_000 },
  ]);
});
