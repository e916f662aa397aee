/** Put in by tools/build.mjs; absent when the sources run as they are. */
declare const STOWAGE_VERSION: string | undefined;

/** Version of the suite that this program belongs to, `0.0.0-dev` outside a build. */
export function version(): string {
  return typeof STOWAGE_VERSION === 'string' ? STOWAGE_VERSION : '0.0.0-dev';
}
