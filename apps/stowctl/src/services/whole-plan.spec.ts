import { gcWorker } from '@stowage/commands';
import type { Transport } from '../transport/reach';
import { wholePlan } from './whole-plan';

const { reply } = gcWorker.plan.example;
const [image] = reply.images;

it('is read again where the image that a page ended with goes meanwhile', async () => {
  const pages = [
    { ...reply, planId: 'a', images: [image], next: 'sha256:gone' },
    Object.assign(new Error('image not found'), {
      name: 'CommandError',
      code: 'COMMAND_REFUSED',
      grpcStatus: 'NOT_FOUND',
    }),
    { ...reply, planId: 'b', images: [image], next: undefined },
  ];
  const send = () => {
    const page = pages.shift();
    return page instanceof Error ? Promise.reject(page) : Promise.resolve(page);
  };
  expect(await wholePlan({ send } as unknown as Transport, 'n')).toMatchObject({ planId: 'b' });
  expect(pages).toEqual([]);
});
