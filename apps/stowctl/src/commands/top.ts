import { parseSpan } from '@stowage/status-view';
import type { ReadStream, WriteStream } from 'node:tty';
import type { Call, GivenFlags } from '../command-line/define';
import { UsageError } from '../failures';
import { frame } from '../top/frame';
import { paintLine } from '../top/line';
import { Screen } from '../top/screen';
import { Watch } from '../top/watch';

const defaultIntervalMs = 2000;
/** Time between two looks at what there is to draw: few enough for the eye, and for the machine. */
const drawMs = 250;
const interruptKey = '\u0003';

/** `stowctl top`: a view of the whole screen that follows what happens, until `q` or Ctrl-C. */
export async function top(call: Call): Promise<number> {
  const { flags, out, signal, env } = call;
  if (out.isForPrograms) {
    throw new UsageError(
      `top has no -o ${out.format}`,
      'status, pulls and events print the same for programs',
    );
  }
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY || env.TERM === 'dumb') {
    const [stream] = Object.entries({ stdin, stdout }).find(([, { isTTY }]) => !isTTY) ?? [];
    throw new UsageError(
      `top needs a terminal${stream === undefined ? ' that can place its cursor' : `, and ${stream} is none`}`,
      'status, pulls and events print the same to a pipe or file',
    );
  }
  const intervalMs = intervalOf(flags);
  const reach = await call.open({ isLasting: true });
  const quit = new AbortController();
  const over = AbortSignal.any([signal, quit.signal]);
  const watch = new Watch(call, reach, { intervalMs, signal: over });
  await onTerminal(
    stdin,
    stdout,
    () => quit.abort(),
    async (screen) => {
      const draw = () => {
        const { size } = screen;
        const lines = frame(watch.state, size, Date.now());
        screen.draw(lines.map((line) => paintLine(line, size.columns, out.paint)));
      };
      const resized = () => {
        screen.clear();
        draw();
      };
      const timer = setInterval(draw, drawMs);
      stdout.on('resize', resized);
      draw();
      try {
        await Promise.race([watch.run(), aborted(over)]);
      } finally {
        clearInterval(timer);
        stdout.off('resize', resized);
      }
    },
  );
  return 0;
}

/** Runs something on the terminal's other screen, and gives the terminal back however that ends. */
async function onTerminal(
  stdin: ReadStream,
  stdout: WriteStream,
  quit: () => void,
  run: (screen: Screen) => Promise<void>,
): Promise<void> {
  const screen = new Screen(stdout);
  const restore = () => {
    screen.close();
    stdin.setRawMode(false);
  };
  const pressed = (keys: string) => {
    // As without raw mode: the signal ends the program with its exit code.
    if (keys.includes(interruptKey)) process.kill(process.pid, 'SIGINT');
    else if (/q/i.test(keys)) quit();
  };
  // Also where the process ends at once.
  process.once('exit', restore);
  stdin.setRawMode(true).setEncoding('utf8').on('data', pressed).once('end', quit);
  screen.open();
  try {
    await run(screen);
  } finally {
    stdin.off('data', pressed).off('end', quit).pause();
    process.off('exit', restore);
    restore();
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

function intervalOf(flags: GivenFlags): number {
  const text = flags.text('interval');
  if (text === undefined) return defaultIntervalMs;
  const intervalMs = parseSpan(text);
  if (intervalMs === undefined || intervalMs < 500 || intervalMs > 3_600_000) {
    throw new UsageError(
      `--interval ${JSON.stringify(text)} is not a time from 500ms to 1h`,
      'write it as 2s or 1m',
    );
  }
  return intervalMs;
}
