import { imageService } from '@stowage/commands';
import { cleanText, progressText, sizeText } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { failureText } from '../failure-text';
import { requireNodes } from '../transport/on-nodes';
import { pullsView, shownPull, type ShownPull } from './pulls';

/**
 * `stowctl pulls --watch`: the table again and again on a terminal; on a pipe a line for each step
 * of a pull. Ends when it is interrupted, and with 1 when no node answers any more.
 */
export async function watchPulls(call: Call): Promise<number> {
  const { out } = call;
  const { transport, nodes } = await call.open();
  requireNodes(nodes);
  const now = new Map<string, readonly ShownPull[]>();
  const steps = new PullSteps();
  let failed = 0;
  const watch = async (node: string) => {
    try {
      for await (const reply of transport.follow(node, imageService.pulls, {})) {
        const before = now.get(node) ?? [];
        const pulls = reply.pulls.map((pull) => shownPull(node, pull));
        now.set(node, pulls);
        if (out.isScreen) out.frame(pullsView([...now.values()].flat(), Date.now()));
        else {
          for (const [pull, text] of steps.of(before, pulls)) await out.item(pull, cleanText(text));
        }
      }
    } catch (error) {
      if (call.signal.aborted) return;
      failed += 1;
      const { message, remedy } = failureText(error);
      out.problem(message, remedy);
    }
  };
  await Promise.all(nodes.map(watch));
  return failed > 0 ? 1 : 0;
}

/** What has changed between two looks, a line for each pull; progress in steps of a tenth. */
class PullSteps {
  readonly #shown = new Map<string, string>();

  of(before: readonly ShownPull[], now: readonly ShownPull[]): [ShownPull, string][] {
    const steps: [ShownPull, string][] = [];
    for (const pull of now) {
      const { pullId, node, reference, state, percent, bytes } = pull;
      const tenths = percent === undefined ? '' : Math.floor(percent / 10);
      const key = `${state} ${tenths}`;
      if (this.#shown.get(pullId) === key) continue;
      this.#shown.set(pullId, key);
      const text =
        bytes === undefined ? `${reference}: ${state}` : progressText({ ...pull, bytes });
      steps.push([pull, `${node}: ${text}`]);
    }
    const ids = new Set(now.map(({ pullId }) => pullId));
    for (const pull of before) {
      if (ids.has(pull.pullId)) continue;
      this.#shown.delete(pull.pullId);
      const { node, reference, bytes } = pull;
      const size = bytes === undefined ? '' : ` after ${sizeText(bytes)}`;
      steps.push([pull, `${node}: ${reference}: ended${size}`]);
    }
    return steps;
  }
}
