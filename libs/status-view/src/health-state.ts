import type { Cell, Tone } from './table';

const tones: Readonly<Record<string, Tone>> = {
  ok: 'good',
  degraded: 'warning',
  down: 'bad',
  absent: 'bad',
  unknown: 'warning',
};

/** The state of a service or of a part of it. */
export const stateCell = (state: string): Cell => ({ text: state, tone: tones[state] ?? 'dim' });
