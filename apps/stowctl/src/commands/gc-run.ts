import { createInterface } from 'node:readline/promises';
import { gcWorker, type CommandReply } from '@stowage/commands';
import { errorMessage } from '@stowage/errors';
import { imageName, planText, sizeText, spanText } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { refusalStatus } from '../failure-text';
import { CommandFailure, UsageError } from '../failures';
import { wholePlan } from '../services/whole-plan';
import { onNodes } from '../transport/on-nodes';
import type { Reach, Transport } from '../transport/reach';
import { bytesFlag, onNode } from './plan';

/** A collection lasts as long as its removals; the worker has limits for each. */
const longestRunMs = 3_600_000;

/** `stowctl gc run`: collects now, a plan that was read or what the policy asks for. */
export async function gcRun(call: Call): Promise<number> {
  const { flags, out } = call;
  const planId = flags.text('plan');
  const bytes = bytesFlag(flags);
  if (planId !== undefined && bytes !== undefined) {
    throw new UsageError('--plan and --bytes exclude each other', 'a plan has its own amount');
  }
  const reach = await call.open();
  if (planId !== undefined && reach.nodes.length > 1) {
    throw new UsageError('a plan belongs to one node', 'name it with --node NAME');
  }
  if (planId === undefined && !flags.has('yes')) await confirmed(call, reach, bytes);
  const { results, failed } = await onNodes(reach, call, (node, transport) =>
    collect(transport, node, { planId, bytes }),
  );
  await out.show({
    data: results.map(({ node, value }) => ({ node, ...value })),
    tables: results.map(({ node, value }) => ({
      heading: heading(node, value),
      columns: [{ title: 'IMAGE' }, { title: 'RESULT' }, { title: 'RULE' }, { title: 'WHY' }],
      rows: value.images
        .filter(({ result }) => result !== 'kept' || out.format === 'wide')
        .map((image) => [
          imageName(image),
          { text: image.result, tone: image.result === 'failed' ? 'bad' : 'good' },
          image.rule,
          image.why,
        ]),
      empty: '',
    })),
    notes: results.flatMap(({ node, value: { failure, failures, shadow, planId: id } }) => [
      ...(shadow === undefined || shadow.wouldRemoveCount === 0
        ? []
        : [
            `to carry it out once collect is on: stowctl gc run --plan ${id}${onNode(node, reach.kind)}`,
          ]),
      ...(failure === undefined ? [] : [`${node}: ${failure.code}: ${failure.message}`]),
      ...failures.map(({ imageId, message }) => `${node}: ${imageId}: ${message}`),
    ]),
  });
  return failed > 0 || results.some(({ value }) => value.failure !== undefined) ? 1 : 0;
}

type Collection = CommandReply<typeof gcWorker.run>;

async function collect(
  transport: Transport,
  node: string,
  input: { planId?: string; bytes?: number },
): Promise<Collection> {
  try {
    return await transport.send(node, gcWorker.run, input, { timeoutMs: longestRunMs });
  } catch (error) {
    if (input.planId === undefined || refusalStatus(error) !== 'FAILED_PRECONDITION') throw error;
    // A pause, or collections that are off, are said as the service says them.
    if (!/: plan \S+ is /.test(errorMessage(error))) throw error;
    throw new CommandFailure(
      `${node}: ${planText(input.planId)} is not what a collection would do now: images or their use have changed`,
      'read the new one with stowctl plan; nothing was removed',
      { cause: error },
    );
  }
}

const heading = (node: string, { shadow, ...run }: Collection): string =>
  [
    ...(shadow === undefined
      ? [
          `${node}: removed ${run.removedCount} of ${run.attemptedCount} images in ${spanText(run.durationMs)}`,
          `freed ${sizeText(run.measuredBytes ?? run.freedBytes)}, expected ${sizeText(run.expectedBytes)}`,
        ]
      : [
          `${node}: in shadow, nothing was removed; ${planText(run.planId)} would have removed ${shadow.wouldRemoveCount} images for ${sizeText(shadow.expectedBytes)}`,
        ]),
    ...(run.askedBytes === undefined ? [] : [`asked for ${sizeText(run.askedBytes)}`]),
    ...(run.limitedBy === undefined ? [] : [`ended by ${run.limitedBy}`]),
  ].join('; ');

/** Asks the person at the terminal; without one, --yes or --plan has to say it. */
async function confirmed(call: Call, reach: Reach, bytes: number | undefined): Promise<void> {
  if (!process.stdin.isTTY || call.out.isForPrograms) {
    throw new UsageError(
      'gc run removes images: say which with --plan ID, or add --yes',
      'stowctl plan shows what would go, with its id',
    );
  }
  const { results } = await onNodes(reach, call, (node, transport) =>
    wholePlan(transport, node, { bytes }),
  );
  const lines = results.map(
    ({ node, value }) => `${node}: ${value.removeCount} images, ${sizeText(value.expectedBytes)}`,
  );
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const question = `${lines.join('\n')}\nremove them? [y/N] `;
    const answer = await terminal.question(question, { signal: call.signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandFailure('nothing was removed');
  } finally {
    terminal.close();
  }
}
