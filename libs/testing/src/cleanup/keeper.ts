import { spawn, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { newOwnerToken } from './manifest';
import { ownerMarker, stackMarker } from './processes';

/** A claim on the keeper of this process. Release it when what it guards is gone. */
export interface KeeperClaim {
  /** Value of the owner marker for processes that must not outlive this one. */
  readonly token: string;
  release(): Promise<void>;
}

interface Keeper {
  token: string;
  child: ChildProcess;
  exited: Promise<void>;
  claims: number;
}

let current: Keeper | undefined;

/** Starts the keeper of this process if it has none, see `keeper-main.ts`. It ends with its last claim. */
export function claimKeeper(): KeeperClaim {
  const keeper = (current ??= startKeeper());
  keeper.claims += 1;
  let released = false;
  return {
    token: keeper.token,
    release: async () => {
      if (released) return;
      released = true;
      keeper.claims -= 1;
      if (keeper.claims > 0) return;
      if (current === keeper) current = undefined;
      keeper.child.ref();
      keeper.child.stdin?.end();
      await keeper.exited;
    },
  };
}

function startKeeper(): Keeper {
  const token = newOwnerToken();
  const env = { ...process.env };
  for (const name of [ownerMarker, stackMarker, 'NODE_OPTIONS', 'NODE_V8_COVERAGE']) {
    Reflect.deleteProperty(env, name);
  }
  // In a bundle its code lies beside this file, and needs no loader.
  const extension = path.extname(__filename);
  const loader =
    extension === '.ts' ? ['--import', pathToFileURL(require.resolve('tsx')).href] : [];
  // It does not run in the workspace, whose libraries the loader finds by this file.
  env.TSX_TSCONFIG_PATH = path.join(__dirname, '../../../../tsconfig.json');
  const child = spawn(
    process.execPath,
    [...loader, path.join(__dirname, `keeper-main${extension}`), token],
    // A session of its own, so that Ctrl+C reaches the tests only; the tests' end then reaches the keeper.
    { detached: true, cwd: '/', env, stdio: ['pipe', 'ignore', 'inherit'] },
  );
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  child.unref();
  if (child.stdin instanceof Socket) child.stdin.unref();
  child.stdin.on('error', () => undefined);
  return { token, child, exited, claims: 0 };
}
