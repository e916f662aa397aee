/** Vector files (without `.json`) that nothing in the workspace implements yet. The one place that lists them. */
export const pendingFiles: readonly string[] = [
  'cri-validation',
  'dockerconfig-decode',
  'endpoints',
  'ensure-image',
  'gc-freespace',
  'gc-trigger',
  'image-ref-normalize',
  'image-ref-parse',
  'keyring-match',
  'pull-verify',
];
