import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { eventually } from '@stowage/testing';

/** A running nginx that forwards gRPC. */
export interface Nginx {
  readonly socket: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * Starts nginx with `grpc_pass` from a unix socket to another, as one would to front a runtime with
 * it.
 */
export async function startNginx(folder: string, upstream: string): Promise<Nginx> {
  mkdirSync(folder, { recursive: true });
  const socket = path.join(folder, 'nginx.sock');
  const config = path.join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(' ');
  // As root, because the runtime's socket belongs to root.
  writeFileSync(
    config,
    `user root;
daemon off;
worker_processes auto;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary}
  upstream runtime { server unix:${upstream}; keepalive 64; }
  server {
    listen unix:${socket} http2;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    location / { grpc_pass grpc://runtime; }
  }
}
`,
  );
  const child = spawn('nginx', ['-c', config, '-p', folder], { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await eventually(() => answers(socket), { what: 'nginx to listen', timeoutMs: 5_000 });
  return {
    socket,
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill();
      await exited;
    },
  };
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(socket);
    probe.once('error', () => resolve(false));
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
  });
}
