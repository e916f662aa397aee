import type { CommandDefinition, FlagDefinition } from '../command-line/define';

/** First word of the line that the shells' completion sends. */
export const completionWord = '__complete';

const since: FlagDefinition = {
  name: 'since',
  value: 'TIME',
  help: 'from then on: 30m, 2d or 2026-11-20T22:12:00Z',
};
const bytes: FlagDefinition = {
  name: 'bytes',
  value: 'SIZE',
  help: 'free this much instead of what the policy asks for, as in 2Gi',
};
const app: FlagDefinition = { name: 'app', value: 'SERVICE', help: 'this service alone' };
const sockets: FlagDefinition = {
  name: 'sockets',
  value: 'DIR',
  help: 'folder of the local sockets (default /run/stowage)',
};
const kubeletDir: FlagDefinition = {
  name: 'kubelet-dir',
  value: 'DIR',
  help: "kubelet's folder (default /var/lib/kubelet)",
};

/** Every command, in the order of the help. */
export const commands: readonly CommandDefinition[] = [
  {
    name: 'status',
    summary: 'Shows services, versions, health, and disks with marks, trend and what holds them.',
    reaches: 'nodes',
    load: async () => (await import('./status')).status,
  },
  {
    name: 'nodes',
    summary: 'Shows one line for each node.',
    reaches: 'nodes',
    load: async () => (await import('./nodes')).nodes,
  },
  {
    name: 'images',
    summary: 'Lists images with age, last use, who uses them, size and verdict.',
    args: [{ name: 'IMAGE', isOptional: true }],
    flags: [
      {
        name: 'sort',
        value: 'KEY',
        help: 'name (default), size, age or last-used',
        choices: ['name', 'size', 'age', 'last-used'],
      },
      { name: 'reverse', help: 'in the other direction' },
      { name: 'unused', help: 'only images that nobody uses' },
      { name: 'pinned', help: 'only images that the runtime asks to keep' },
      {
        name: 'verdict',
        value: 'WORD',
        help: 'only images that would be kept, or removed: keep or remove',
        choices: ['keep', 'remove'],
      },
    ],
    reaches: 'nodes',
    load: async () => (await import('./images')).images,
  },
  {
    name: 'plan',
    summary: 'Shows what a collection would remove now, and why; changes nothing.',
    flags: [
      bytes,
      {
        name: 'assumed-age',
        value: 'TIME',
        help: 'age of images that were there before the records, as in 7d',
      },
      { name: 'kept', help: 'list the images that stay as well' },
    ],
    reaches: 'nodes',
    load: async () => (await import('./plan')).plan,
  },
  {
    name: 'gc run',
    summary: 'Collects now: the plan with --plan, or what the policy asks for.',
    details: [
      'With --plan exactly that plan is carried out; where it no longer holds nothing is removed.',
      'Without it, a terminal is asked first.',
    ],
    flags: [
      { name: 'plan', value: 'ID', help: 'id of a plan, as stowctl plan prints it' },
      bytes,
      { name: 'yes', help: 'do not ask' },
    ],
    reaches: 'nodes',
    load: async () => (await import('./gc-run')).gcRun,
  },
  {
    name: 'pause',
    summary: 'Pauses collections for a time, which ends by itself.',
    args: [{ name: 'TIME' }],
    flags: [{ name: 'reason', value: 'TEXT', help: 'why, for whoever finds it' }],
    reaches: 'nodes',
    load: async () => (await import('./pause')).pause,
  },
  {
    name: 'resume',
    summary: 'Ends a pause of collections.',
    reaches: 'nodes',
    load: async () => (await import('./pause')).resume,
  },
  {
    name: 'hold',
    summary: 'Keeps an image from collection for a time, which ends by itself.',
    args: [{ name: 'IMAGE' }],
    flags: [
      { name: 'for', value: 'TIME', help: 'how long, as in 30m or 2d (default 2h)' },
      { name: 'reason', value: 'TEXT', help: 'why, for whoever finds it' },
    ],
    reaches: 'nodes',
    load: async () => (await import('./hold')).hold,
  },
  {
    name: 'release',
    summary: 'Ends the hold of an image.',
    args: [{ name: 'IMAGE' }],
    reaches: 'nodes',
    load: async () => (await import('./hold')).release,
  },
  {
    name: 'ensure',
    summary: 'Pulls an image where it is not there, and shows the progress.',
    args: [{ name: 'IMAGE' }],
    flags: [
      {
        name: 'policy',
        value: 'POLICY',
        help: 'Always, IfNotPresent or Never; else by the tag',
        choices: ['Always', 'IfNotPresent', 'Never'],
      },
      { name: 'hold', value: 'TIME', help: 'do not collect it for this long, as in 2h' },
      { name: 'secret', value: 'NS/NAME', help: 'mounted pull secret that alone is used' },
    ],
    reaches: 'nodes',
    load: async () => (await import('./ensure')).ensure,
  },
  {
    name: 'pulls',
    summary: 'Shows what is being pulled, with bytes, speed and time left.',
    flags: [
      { name: 'recent', help: 'pulls that have ended as well' },
      since,
      { name: 'watch', short: 'w', help: 'go on until Ctrl-C' },
    ],
    reaches: 'nodes',
    load: async () => (await import('./pulls')).pulls,
  },
  {
    name: 'pods',
    summary: 'Lists pods with their containers and images.',
    flags: [
      { name: 'namespace', short: 'n', value: 'NAME', help: 'only pods of this namespace' },
      { name: 'ended', help: 'containers that have ended as well' },
    ],
    reaches: 'nodes',
    load: async () => (await import('./pods')).pods,
  },
  {
    name: 'events',
    summary: 'Shows what happened, oldest first: the last hour, or --since.',
    flags: [
      { name: 'follow', short: 'f', help: 'go on with what happens from now on' },
      since,
      { name: 'type', value: 'A,B', help: 'only events of these names, as in ImageRemoved' },
    ],
    reaches: 'nodes',
    load: async () => (await import('./events')).events,
  },
  {
    name: 'why',
    summary: 'Shows why an image stays or goes, and its history: pulled, used, removed, back.',
    args: [{ name: 'IMAGE' }],
    flags: [since],
    reaches: 'nodes',
    load: async () => (await import('./why')).why,
  },
  {
    name: 'top',
    summary: 'Shows disks, pulls, events and health on the whole screen, as they change.',
    details: ['q or Ctrl-C ends it. The terminal has to have 80 columns and 24 rows at least.'],
    flags: [{ name: 'interval', value: 'TIME', help: 'how often to ask (default 2s)' }],
    reaches: 'nodes',
    load: async () => (await import('./top')).top,
  },
  {
    name: 'doctor',
    summary: 'Looks for what is wrong, and says what to do about it.',
    details: [
      'On the node itself (without --node and --all) it also looks at sockets, folders, the',
      "services' configuration and kubelet's. With --server it looks at NATS as well.",
    ],
    flags: [kubeletDir],
    reaches: 'nodes',
    load: async () => (await import('./doctor')).doctor,
  },
  {
    name: 'check',
    summary: 'The same for monitoring: exit code 0, 1 (warning), 2 (critical) or 3 (unknown).',
    flags: [
      kubeletDir,
      {
        name: 'format',
        value: 'FORMAT',
        help: 'nagios (default), prometheus or json',
        choices: ['nagios', 'prometheus', 'json'],
      },
    ],
    reaches: 'nodes',
    load: async () => (await import('./check')).check,
  },
  {
    name: 'config explain',
    summary: 'Explains a key of the configuration: meaning, value and where it comes from.',
    args: [{ name: 'KEY' }],
    flags: [app, sockets],
    reaches: 'nothing',
    load: async () => (await import('./config')).configExplain,
  },
  {
    name: 'config diff',
    summary: 'Lists what the services of this node run with that is not the default.',
    flags: [app, sockets],
    reaches: 'nothing',
    load: async () => (await import('./config')).configDiff,
  },
  {
    name: 'nats users',
    summary: 'Makes an nkey for every node, with server configuration and Kubernetes Secret.',
    details: [
      'Keys that are there stay as they are. The accounts and permissions are those of deploy/nats.',
      'Files: nodes/NAME.nk, operators/NAME.nk, consumers/NAME.nk, accounts.conf, secret.yaml.',
    ],
    flags: [
      {
        name: 'nodes-from',
        value: 'FILE',
        help: 'names of all nodes, one a line; - is stdin, as from kubectl get nodes -o name',
      },
      { name: 'out', value: 'DIR', help: 'folder of the files (default nats-users)' },
      { name: 'operator', value: 'A,B', help: 'also keys for operators of these names' },
      { name: 'consumer', value: 'A,B', help: 'also keys for consumers of these names' },
      {
        name: 'rotate',
        value: 'NAME,NAME',
        help: 'new keys for these: a node, operator:NAME or consumer:NAME',
      },
      { name: 'force', help: 'new keys for all' },
      { name: 'namespace', short: 'n', value: 'NAME', help: 'of the Secret (default stowage)' },
      { name: 'secret-name', value: 'NAME', help: 'of the Secret (default stowage-nats)' },
    ],
    reaches: 'nothing',
    load: async () => (await import('./nats-users')).natsUsers,
  },
  {
    name: 'context list',
    summary: 'Lists the contexts: servers and logins under a name.',
    reaches: 'nothing',
    load: async () => (await import('./contexts')).contextList,
  },
  {
    name: 'context use',
    summary: 'Makes a context the one that counts without --context.',
    args: [{ name: 'NAME' }],
    reaches: 'nothing',
    load: async () => (await import('./contexts')).contextUse,
  },
  {
    name: 'completion',
    summary: 'Prints the completion for a shell: bash, zsh or fish.',
    args: [{ name: 'SHELL', choices: ['bash', 'zsh', 'fish'] }],
    reaches: 'nothing',
    load: async () => (await import('./completion')).completion,
  },
];
