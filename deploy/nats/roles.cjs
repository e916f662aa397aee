// NATS accounts, users and permissions for the roles around Stowage, for permissions.mjs beside this
// file and for `stowctl nats users`. Plain JavaScript. Why there is an account for each node and
// consumer: docs/adr/0025-accounts-for-roles.md.

const stream = 'STOWAGE_EVENTS';
/** The account of the streams, and of the operators. */
const home = 'STOWAGE';
/**
 * Where the other accounts find the part of the JetStream API that they may use; @stowage/event-bus
 * looks there by itself. Not `$JS.API`: on that the server answers that their own account has no
 * JetStream.
 */
const apiPrefix = 'stowage.api';
/**
 * How long a command may take to be answered; the server would drop the answer after two minutes.
 */
const answerWithin = '24h';
/** How long one request for messages may stay open; clients ask for less. */
const fetchWithin = '10m';
/** How long services have to answer a search for them; who searches waits for less. */
const discoveryWithin = '10s';
/** What service discovery asks on, as clients write it. */
const discovery = '$SRV.>';
/**
 * Where the home account finds the services of one node, whatever the server: one of the same
 * subject for all nodes is refused by servers that take only one import of a subject.
 */
const discoveryOf = (name) => `stowage.srv.${name}.>`;
const second = 1e9;

/** A node name as one subject token: dots become `_`. The rule is libs/events' `subjectToken`. */
function token(node) {
  const label = '[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?';
  if (node.length > 253 || !new RegExp(`^${label}(\\.${label})*$`).test(node)) {
    throw new Error(`node ${JSON.stringify(node)} is not a node name`);
  }
  return node.replaceAll('.', '_');
}

function checkName(role, name) {
  if (!/^[a-z0-9][a-z0-9-]{0,31}$/.test(name)) {
    throw new Error(
      `${role} ${JSON.stringify(name)} is not a name: lower-case letters, digits and "-"`,
    );
  }
  return name;
}

/**
 * A service of the home account that another account may use: as it is, or below the prefix for the
 * API.
 */
const used = (subject) => ({ subject });
const api = (request, more) => ({
  subject: `$JS.API.${request}`,
  as: `${apiPrefix}.${request}`,
  ...more,
});
const subjects = (uses) => uses.map(({ subject, as }) => as ?? subject);

/**
 * The services of one node: publish its events, answer its commands, read its own events, be found.
 * With `isDiscovered` the home account searches all nodes at once.
 */
function serviceRole(node, { isDiscovered = false } = {}) {
  const name = token(node);
  const uses = [used(`stowage.event.${name}.>`), api(`STREAM.INFO.${stream}`)];
  return {
    account: `${home}_NODE_${name}`,
    user: `service-${name}`,
    uses,
    // The home account may send commands, and nobody else.
    offers: [
      { subject: `stowage.cmd.${name}.>`, within: answerWithin },
      {
        subject: discovery,
        within: discoveryWithin,
        streamed: true,
        as: [discoveryOf(name), ...(isDiscovered ? [discovery] : [])],
      },
    ],
    permissions: {
      // The bus asks its own account for the stream first, and gets the answer that there is none.
      publish: [...subjects(uses), `$JS.API.STREAM.INFO.${stream}`],
      subscribe: [`stowage.event.${name}.>`, `stowage.cmd.${name}.>`, discovery, '_INBOX.>'],
      // One reply to each command, and to nobody else.
      allowResponses: true,
    },
  };
}

/**
 * A service of the platform that reads events, through the durable consumer that an operator made
 * for it.
 */
function consumerRole(name) {
  checkName('consumer', name);
  const uses = [
    api('INFO'),
    api(`STREAM.INFO.${stream}`),
    api(`CONSUMER.INFO.${stream}.${name}`),
    api(`CONSUMER.MSG.NEXT.${stream}.${name}`, { streamed: true }),
    used(`$JS.ACK.${stream}.${name}.>`),
    // What it could not handle.
    used(`stowage.dead-letter.${name}.>`),
  ];
  return {
    account: `${home}_CONSUMER_${name}`,
    user: `consumer-${name}`,
    uses,
    offers: [],
    permissions: {
      publish: [...subjects(uses), `$JS.API.CONSUMER.INFO.${stream}.${name}`],
      subscribe: [`_INBOX_${name}.>`],
      allowResponses: false,
    },
  };
}

/**
 * People and tools that send commands and look after the streams. Whoever may change streams may do
 * all that streams can.
 */
function operatorRole(name) {
  checkName('operator', name);
  return {
    account: home,
    user: `operator-${name}`,
    uses: [],
    offers: [],
    permissions: {
      publish: [
        ...['stowage.cmd.>', '$JS.API.>', `$JS.ACK.${stream}.>`],
        ...[discovery, discoveryOf('*')],
      ],
      subscribe: ['stowage.event.>', 'stowage.dead-letter.>', `_INBOX_${name}.>`],
      allowResponses: false,
    },
  };
}

/** The roles that were asked for. */
function roles({ nodes = [], consumers = [], operators = [], isDiscovered = false }) {
  return [
    ...nodes.map((node) => serviceRole(node, { isDiscovered })),
    ...consumers.map(consumerRole),
    ...operators.map(operatorRole),
  ];
}

/** What the home account offers, and to whom. */
function homeExports(list) {
  const bySubject = new Map();
  for (const { account, uses } of list) {
    for (const { subject, streamed = false } of uses) {
      const known = bySubject.get(subject) ?? { subject, streamed, accounts: [] };
      bySubject.set(subject, { ...known, accounts: [...known.accounts, account] });
    }
  }
  return [...bySubject.values()];
}

/** Name of the environment variable that holds a user's password (or its bcrypt hash). */
const passwordVariable = (user) => `STOWAGE_PASSWORD_${user.replaceAll('-', '_').toUpperCase()}`;

const quote = JSON.stringify;
const quoted = (list) => `[${list.map(quote).join(', ')}]`;

/** By the public key of an nkey, or by user and password. */
function loginLines({ user, nkey }) {
  if (nkey !== undefined) return [`        # ${user}`, `        nkey: ${quote(nkey)}`];
  return [`        user: ${quote(user)}`, `        password: $${passwordVariable(user)}`];
}

function userBlock(role) {
  const { permissions } = role;
  return [
    '      {',
    ...loginLines(role),
    '        permissions: {',
    `          publish: { allow: ${quoted(permissions.publish)} }`,
    `          subscribe: { allow: ${quoted(permissions.subscribe)} }`,
    ...(permissions.allowResponses
      ? [`          allow_responses: { max: 1, expires: ${quote(answerWithin)} }`]
      : []),
    '        }',
    '      }',
  ];
}

function accountBlock(name, { jetStream = false, users, exports, imports }) {
  const block = (key, lines) => (lines.length === 0 ? [] : [`    ${key}: [`, ...lines, '    ]']);
  return [
    `  ${quote(name)} {`,
    ...(jetStream ? ['    jetstream: enabled'] : []),
    ...block('users', users.flatMap(userBlock)),
    ...block('exports', exports),
    ...block('imports', imports),
    '  }',
  ];
}

/**
 * The `accounts` block of a server configuration. A role logs in with its `nkey` (a public key) where
 * it has one; else passwords come from the server's environment.
 */
function serverConfig(list) {
  const others = list.filter(({ account }) => account !== home);
  const streamed = ` response_type: stream, threshold: ${quote(fetchWithin)},`;
  const blocks = [
    accountBlock(home, {
      jetStream: true,
      users: list.filter(({ account }) => account === home),
      exports: homeExports(others).map(
        (offer) =>
          `      { service: ${quote(offer.subject)},${offer.streamed ? streamed : ''} accounts: ${quoted(offer.accounts)} }`,
      ),
      imports: others.flatMap(({ account, offers }) =>
        offers.flatMap(({ subject, as = [subject] }) =>
          as.map((to) => {
            const under = to === subject ? '' : `, to: ${quote(to)}`;
            return `      { service: { account: ${quote(account)}, subject: ${quote(subject)} }${under} }`;
          }),
        ),
      ),
    }),
    ...others.map((role) =>
      accountBlock(role.account, {
        users: [role],
        exports: role.offers.map(({ subject, within, streamed: isStreamed = false }) => {
          const type = isStreamed ? ' response_type: stream,' : '';
          return `      { service: ${quote(subject)},${type} threshold: ${quote(within)}, accounts: ${quoted([home])} }`;
        }),
        imports: role.uses.map(({ subject, as }) => {
          const to = as === undefined ? '' : `, to: ${quote(as)}`;
          return `      { service: { account: ${quote(home)}, subject: ${quote(subject)} }${to} }`;
        }),
      }),
    ),
  ];
  return ['accounts {', ...blocks.flat(), '}', ''].join('\n');
}

const shell = (text) => `'${text}'`;

/** The same as commands of nsc, for servers with decentralised accounts. */
function nscCommands(list) {
  const others = list.filter(({ account }) => account !== home);
  const grant = (from, to, subject, as = subject) => [
    `nsc generate activation --account ${from} --target-account $(key ${to}) --subject ${shell(subject)} --output-file "$token"`,
    `nsc add import --account ${to} --token "$token" --local-subject ${shell(as)} --name ${shell(as)}`,
  ];
  const offer = (account, subject, options) =>
    `nsc add export --account ${account} --service --private --subject ${shell(subject)} --name ${shell(subject)} ${options}`.trimEnd();
  return [
    'set -eu',
    'key() { nsc describe account --name "$1" --json | sed -n \'s/^ *"sub": "\\(A[A-Z0-9]*\\)".*/\\1/p\'; }',
    'token=$(mktemp)',
    `nsc add account ${home}`,
    `nsc edit account ${home} --js-mem-storage -1 --js-disk-storage -1 --js-streams -1 --js-consumer -1`,
    ...others.map(({ account }) => `nsc add account ${account}`),
    ...homeExports(others).map(({ subject, streamed }) =>
      offer(
        home,
        subject,
        streamed ? `--response-type Stream --response-threshold ${fetchWithin}` : '',
      ),
    ),
    ...others.flatMap(({ account, offers, uses }) => [
      ...offers.map(({ subject, within, streamed: isStreamed = false }) =>
        offer(
          account,
          subject,
          `${isStreamed ? '--response-type Stream ' : ''}--response-threshold ${within}`,
        ),
      ),
      ...offers.flatMap(({ subject, as = [subject] }) =>
        as.flatMap((to) => grant(account, home, subject, to)),
      ),
      ...uses.flatMap(({ subject, as }) => grant(home, account, subject, as)),
    ]),
    ...list.map(({ account, user, permissions }) =>
      [
        `nsc add user --account ${account} --name ${user}`,
        `--allow-pub ${shell(permissions.publish.join(','))}`,
        `--allow-sub ${shell(permissions.subscribe.join(','))}`,
        ...(permissions.allowResponses
          ? ['--allow-pub-response=1', `--response-ttl ${answerWithin}`]
          : []),
      ].join(' '),
    ),
    'rm "$token"',
    '',
  ].join('\n');
}

/**
 * The stream, for `nats stream add --config`: as the services make it where they may, and closed to
 * tricks of publishers.
 */
const streamJson = {
  name: stream,
  description: 'Events of the Stowage services on the nodes',
  subjects: ['stowage.event.>'],
  storage: 'file',
  retention: 'limits',
  discard: 'old',
  max_age: 7 * 24 * 3600 * second,
  max_bytes: 1024 ** 3,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  max_msg_size: -1,
  max_consumers: -1,
  duplicate_window: 120 * second,
  num_replicas: 1,
  // A header of a message could otherwise empty the stream.
  allow_rollup_hdrs: false,
};

/**
 * The durable consumer of a role, for `nats consumer add STOWAGE_EVENTS --config`: as
 * `consumeEvents` makes it where it may.
 */
function consumerJson(name) {
  return {
    durable_name: checkName('consumer', name),
    deliver_policy: 'all',
    ack_policy: 'explicit',
    ack_wait: 30 * second,
    max_deliver: -1,
    filter_subject: 'stowage.event.>',
    max_ack_pending: 100,
    replay_policy: 'instant',
  };
}

module.exports = {
  consumerJson,
  consumerRole,
  nscCommands,
  operatorRole,
  roles,
  serverConfig,
  serviceRole,
  stream,
  streamJson,
};
