/**
 * Vector files (without `.json`) that nothing in the workspace implements yet. The one place that
 * lists them.
 */
export const pendingFiles: readonly string[] = [];
