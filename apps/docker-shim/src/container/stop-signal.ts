import { Signal } from '@stowage/cri-proto';
import { InvalidArgumentError } from '@stowage/errors';
import { constants } from 'node:os';

const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d+))?$/;
const firstRealTime = 34;
const lastRealTime = 64;

/**
 * The engine's name of a stop signal, for instance `SIGRTMIN+3`; undefined for the image's own.
 *
 * @throws {InvalidArgumentError}
 */
export function stopSignalName(signal: Signal): string | undefined {
  if (signal === Signal.SIGNAL_RUNTIME_DEFAULT) return undefined;
  const name = Signal[signal] as string | undefined;
  if (name === undefined) {
    throw new InvalidArgumentError('stop_signal', signal, 'a signal that the CRI has');
  }
  return name
    .replace(/^SIGNAL_/, '')
    .replace('RTMINPLUS', 'RTMIN+')
    .replace('RTMAXMINUS', 'RTMAX-');
}

/**
 * The signal that a container of the engine is stopped with, by name with or without `SIG`, or by
 * number; SIGTERM where there is none.
 */
export function criStopSignal(engineName: string): Signal {
  const given = engineName.trim().toUpperCase();
  if (given === '') return Signal.SIGNAL_SIGTERM;
  const name = /^\d+$/.test(given)
    ? nameOfNumber(Number(given))
    : oneName(given.startsWith('SIG') ? given : `SIG${given}`);
  return criSignal(name) ?? Signal.SIGNAL_RUNTIME_DEFAULT;
}

function criSignal(name: string): Signal | undefined {
  const key = `SIGNAL_${name.replace('+', 'PLUS').replace('-', 'MINUS')}`;
  return (Signal as unknown as Record<string, Signal | undefined>)[key];
}

function nameOfNumber(number: number): string {
  if (number >= firstRealTime) return realTimeName(number);
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? '';
}

/** Real-time signals have a name from either end; the CRI has one of each. */
function oneName(name: string): string {
  const [, from, sign, count = '0'] = realTime.exec(name) ?? [];
  if (from === undefined) return name;
  const offset = sign === '-' ? -Number(count) : Number(count);
  return realTimeName((from === 'MIN' ? firstRealTime : lastRealTime) + offset);
}

function realTimeName(number: number): string {
  const above = number - firstRealTime;
  const below = lastRealTime - number;
  if (above <= 15) return above === 0 ? 'SIGRTMIN' : `SIGRTMIN+${above}`;
  return below === 0 ? 'SIGRTMAX' : `SIGRTMAX-${below}`;
}
