import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { run, type Environment } from './run';

/** Of `docker image inspect`. */
interface ImageFacts {
  readonly Architecture: string;
  readonly Size: number;
  readonly Config: {
    readonly Entrypoint: readonly string[];
    readonly Healthcheck?: object;
    readonly Labels: Readonly<Record<string, string>>;
  };
}

const inspect = (image: string, env: Environment): ImageFacts =>
  (JSON.parse(run('docker', ['image', 'inspect', image], env)) as [ImageFacts])[0];

/** Whether a program of an image starts; it says its version and ends. */
function hasProgram(image: string, program: string, env: Environment): boolean {
  const args = ['run', '--rm', '--network', 'none', '--entrypoint', program, image, '--version'];
  try {
    run('docker', args, env);
    return true;
  } catch (error) {
    if (/no such file or directory|executable file not found/.test(String(error))) return false;
    throw error;
  }
}

/**
 * What is to hold of the image of a service: no shell, nothing that is started to ask for health,
 * labels, and the bill of materials of its bundle.
 *
 * @returns what was seen, in a line.
 */
export function checkImage(app: string, env: Environment): string {
  const image = `stowage/${app}`;
  const { Size, Config } = inspect(image, env);
  const expect = (what: string, holds: boolean) => {
    if (!holds) throw new Error(`${image}: ${what}`);
  };
  expect('it has a health check', Config.Healthcheck === undefined);
  expect('it has no title', Config.Labels['org.opencontainers.image.title'] === image);
  expect('it does not start main.js', Config.Entrypoint.at(-1) === '/app/main.js');
  expect('it has a shell', !hasProgram(image, '/bin/sh', env));
  expect(
    'it has no nsenter',
    hasProgram(image, '/usr/bin/nsenter', env) === (app === 'docker-shim'),
  );
  expect('it has no stowctl', hasProgram(image, 'stowctl', env));
  const read = 'process.stdout.write(JSON.stringify(require("/app/bom.json").metadata.component))';
  const node = ['run', '--rm', '--network', 'none', '--entrypoint', '/nodejs/bin/node', image];
  const { name } = JSON.parse(run('docker', [...node, '-e', read], env)) as { name: string };
  expect('its bill of materials is of another app', name === app);
  return `${image}: ${String(Math.round(Size / 1e6))} MB, no shell, no health check`;
}

/**
 * Builds the image of a service for arm64 on a base without any program: nothing of it may be run
 * for that.
 */
export function checkOtherProcessor(dir: string, env: Environment): string {
  const platform = ['--platform', 'linux/arm64'];
  const base = 'stowage-check/no-programs';
  const image = 'stowage-check/gc-worker-arm64';
  const file = path.join(dir, 'no-programs.dockerfile');
  writeFileSync(file, 'FROM scratch\nLABEL is=empty\n');
  run('docker', ['build', '-q', ...platform, '-t', base, '-f', file, dir], env);
  const args = { APP: 'gc-worker', HTTP_PORT: '9472', BASE_IMAGE: base };
  const flags = Object.entries(args).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`]);
  const build = ['build', '-q', '--network', 'host', '--target', 'service', ...platform];
  run('docker', [...build, ...flags, '-t', image, '.'], env);
  const { Architecture } = inspect(image, env);
  if (Architecture !== 'arm64') throw new Error(`${image} is for ${Architecture}`);
  return `gc-worker for ${Architecture}: from the same bundle, with nothing run`;
}
