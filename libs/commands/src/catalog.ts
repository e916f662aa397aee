import type { CommandDefinition } from './define-command';
import { events as shimEvents } from './docker-shim/events';
import { status as shimStatus } from './docker-shim/status';
import { events as gcEvents } from './gc-worker/events';
import { hold } from './gc-worker/hold';
import { images } from './gc-worker/images';
import { pause } from './gc-worker/pause';
import { plan } from './gc-worker/plan';
import { release } from './gc-worker/release';
import { resume } from './gc-worker/resume';
import { run } from './gc-worker/run';
import { status as gcStatus } from './gc-worker/status';
import { ensure } from './image-service/ensure';
import { events as imageEvents } from './image-service/events';
import { list } from './image-service/list';
import { pulls } from './image-service/pulls';
import { remove } from './image-service/remove';
import { stats } from './image-service/stats';
import { status as imageStatus } from './image-service/status';
import { events as gatewayEvents } from './runtime-gateway/events';
import { exec } from './runtime-gateway/exec';
import { pods } from './runtime-gateway/pods';
import { status as gatewayStatus } from './runtime-gateway/status';
import { version } from './runtime-gateway/version';

/** Commands of runtime-gateway, by verb. */
export const runtimeGateway = {
  pods,
  status: gatewayStatus,
  version,
  exec,
  events: gatewayEvents,
};

/** Commands of image-service, by verb. */
export const imageService = {
  ensure,
  list,
  pulls,
  remove,
  stats,
  status: imageStatus,
  events: imageEvents,
};

/** Commands of gc-worker, by verb. */
export const gcWorker = {
  plan,
  run,
  images,
  status: gcStatus,
  events: gcEvents,
  pause,
  resume,
  hold,
  release,
};

/** Commands of docker-shim, by verb. */
export const dockerShim = {
  status: shimStatus,
  events: shimEvents,
};

/** Every command, by app and verb. */
export const commandCatalog = {
  'runtime-gateway': runtimeGateway,
  'image-service': imageService,
  'gc-worker': gcWorker,
  'docker-shim': dockerShim,
} as const satisfies Record<string, Record<string, CommandDefinition>>;

/** A service that answers commands. */
export type CommandApp = keyof typeof commandCatalog;

/** Services that answer commands. */
export const commandApps = Object.keys(commandCatalog) as CommandApp[];

/** The commands of a service, in the order of its reference. */
export function commandsOf(app: CommandApp): readonly CommandDefinition[] {
  const commands: Readonly<Record<string, CommandDefinition>> = commandCatalog[app];
  return Object.values(commands);
}

/** The verbs of a service as its key `commands` knows them: those answered by default, and all. */
export function verbsOf(app: CommandApp): { commands: string[]; allCommands: string[] } {
  const all = commandsOf(app);
  return {
    commands: all.filter(({ answered }) => answered === 'by-default').map(({ verb }) => verb),
    allCommands: all.map(({ verb }) => verb),
  };
}
