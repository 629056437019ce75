/**
 * The import boundaries and conventions that the linter enforces (docs/architecture.md draws them).
 *
 * Of all overrides whose files match, the last one decides a rule as a whole: every override below therefore names everything
 * that its files may not import.
 */
import type { OxlintConfig } from 'oxlint'

interface Pattern {
  readonly group?: string[]
  readonly regex?: string
  readonly message: string
  readonly allowTypeImports?: boolean
}

/** Who may import each package: these files, and nobody else. */
const ALLOWED_IMPORTERS = {
  ioredis: ['shared/bus/redis-connection.ts'],
  ws: ['gateway/handshake/upgrade.ts', 'gateway/fanout/connection.ts'],
  'p-retry': ['shared/lifecycle/retry.ts', 'gateway/api/backend-client.ts'],
  undici: ['gateway/api/backend-client.ts'],
  pg: [
    'backend/database/postgres.ts',
    'backend/database/pool.ts',
    'backend/database/primary.ts',
    'backend/database/migrate.ts',
    'backend/pglite/open.ts',
  ],
  'drizzle-orm': ['backend/database/drizzle.ts'],
  '@electric-sql/pglite': ['backend/pglite/worker.ts'],
  hono: ['gateway/http/**', 'backend/http/**'],
  '@hono/node-server': ['gateway/http/**', 'gateway/gateway.ts', 'backend/service.ts'],
  '@hono/zod-openapi': ['backend/http/**'],
  uqr: ['gateway/http/qr-code.ts'],
  koffi: ['gateway/fanout/socket-send.ts'],
  pino: ['shared/telemetry/log.ts'],
  '@prometheus-io/client': ['shared/telemetry/metrics.ts'],
} as const satisfies Record<string, readonly string[]>

/** The folders of each service, and which of its other folders each may import. Files at the top may import all of them. */
const DIRECTIONS = {
  'gateway/http': ['api', 'access'],
  'gateway/handshake': ['fanout', 'access'],
  'gateway/fanout': [],
  'gateway/api': [],
  'gateway/access': [],
  'backend/http': ['ballots', 'tallies', 'adopt', 'polls', 'database'],
  'backend/adopt': ['polls', 'database'],
  'backend/migrate': ['database'],
  'backend/ballots': ['polls', 'database'],
  'backend/tallies': ['polls', 'database'],
  'backend/polls': ['database'],
  'backend/database': [],
  'backend/pglite': ['database'],
  'backend/ingest': ['ballots', 'polls'],
  'backend/verify': ['tallies', 'database'],
} as const satisfies Record<string, readonly string[]>

type Vendor = keyof typeof ALLOWED_IMPORTERS
const VENDORS = Object.keys(ALLOWED_IMPORTERS) as Vendor[]

const SERVICES: Pattern = {
  regex: '^(\\.\\./)+(gateway|backend)/',
  message: 'gateway and backend never import each other, and shared/ imports neither: only infra/standalone sees both.',
}
const RUNNERS: Pattern = {
  regex: '^(\\.\\./)+(e2e|bench|infra)/',
  message: 'The services stand without e2e/, bench/ and infra/.',
}
const PROCESS: Pattern = { regex: '^(node:)?process$', message: 'Only main.ts touches process; take what you need as an option.' }
const LOG_TYPE: Pattern = {
  regex: '^\\.\\./telemetry/log\\.ts$',
  allowTypeImports: true,
  message: 'The folders of shared/ import no more of telemetry/ than the type of the log.',
}

/** The folders of shared/ do not import each other; `also` is what a folder may import besides its own files. */
function sharedFolder(...also: string[]): Pattern[] {
  const message = 'The folders of shared/ do not import each other.'
  // the linter stops at the first pattern that a negation lets pass, so this one comes last
  return [LOG_TYPE, { group: ['../**', '!../telemetry/log.ts', ...also.map((path) => `!${path}`)], message }]
}

/** A folder of a service imports shared/ and the folders it depends on (`DIRECTIONS`), and nothing above it. */
function serviceFolder(allowed: readonly string[]): Pattern[] {
  const message = 'Imports between the folders of a service go one way: see DIRECTIONS in oxlint.config.ts.'
  return [{ group: ['../**', '!../../shared/**', ...allowed.map((name) => `!../${name}/**`)], message }]
}

/**
 * The pages see the wire and nothing else, and of the frames only their types: the schema library never reaches a browser.
 * `up` is the way from a page's folder to the room above, which it does not leave.
 */
function pages(up: string) {
  const patterns: Pattern[] = [
    {
      regex: '/protocol/frames\\.ts$',
      allowTypeImports: true,
      message: 'Pages import the types of the frames alone, so that no schema library reaches a browser.',
    },
    { regex: '^[^.]', message: 'Pages import no packages.' },
    { group: [`${up}**`, `!${up}../shared/protocol/**`], message: 'Pages import shared/protocol alone.' },
  ]
  return { 'no-restricted-imports': ['error', { patterns }] } as const
}

/** What a file may not import: the packages it is no allowed importer of, and what the given patterns forbid. */
function restricted(patterns: readonly Pattern[], allowed: readonly Vendor[] = []) {
  const forbidden = VENDORS.filter((vendor) => !allowed.includes(vendor))
  const packages = {
    regex: `^(${forbidden.join('|')})(/|$)`,
    message: 'Few files import each package: see ALLOWED_IMPORTERS in oxlint.config.ts.',
  }
  return { 'no-restricted-imports': ['error', { patterns: [packages, ...patterns] }] } as const
}

/** One override for the folder, and after it one for each set of files inside that may import the same packages. */
function folder(path: string, patterns: readonly Pattern[]) {
  const importers = new Map<string, Vendor[]>()
  for (const vendor of VENDORS)
    for (const file of ALLOWED_IMPORTERS[vendor]) importers.set(file, [...(importers.get(file) ?? []), vendor])
  const whole = importers.get(path) ?? []
  const inside = [...importers].filter(([file]) => file !== path && file.startsWith(path.replace('**', '')))
  return [
    { files: [path], rules: restricted(patterns, whole) },
    ...inside.map(([file, vendors]) => ({ files: [file], rules: restricted(patterns, [...whole, ...vendors]) })),
  ]
}

const SERVICE_BOUNDARIES = [PROCESS, SERVICES, RUNNERS]

export default {
  plugins: ['import', 'typescript', 'unicorn', 'oxc', 'node', 'promise'],
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['dist', 'data'],
  rules: {
    // type-only imports count too: what a circle holds together cannot be read or moved alone
    'import/no-cycle': ['error', { ignoreTypes: false }],
    'oxc/no-barrel-file': ['error', { threshold: 0 }],
    'max-lines': ['error', { max: 300, skipBlankLines: false, skipComments: false }],
    'typescript/no-floating-promises': [
      'error',
      { allowForKnownSafeCalls: [{ from: 'package', name: ['test', 'it', 'describe', 'suite'], package: 'node:test' }] },
    ],
    'typescript/no-misused-promises': 'error',
    'typescript/switch-exhaustiveness-check': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-explicit-any': 'error',
    'no-console': 'error',
    'no-restricted-globals': ['error', { name: 'process', message: PROCESS.message }],
    // The wall clock steps: spans and deadlines are measured with `clock.now()`, and `clock.date()` is for people and other machines.
    'no-restricted-properties': [
      'error',
      { object: 'Date', property: 'now', message: 'Take a Clock: now() measures, date() tells.' },
    ],
    // `new Date().getTime()` is the same in other words.
    'unicorn/prefer-date-now': 'error',

    // Services are closures that createX returns; none of their methods knows `this`, so all of them may be passed around.
    'typescript/unbound-method': 'off',
    // Asserting is how a vendor's wide type becomes the one we know; what comes from outside is parsed with a schema instead.
    'typescript/no-unsafe-type-assertion': 'off',
    // The compiler knows which ends of a function are reachable, after an exhaustive switch for one; this rule does not.
    'consistent-return': 'off',
    // A small function stands beside its only use.
    'unicorn/consistent-function-scoping': 'off',
    // What a loop waits for may change in a callback, which this rule does not look into.
    'no-unmodified-loop-condition': 'off',
    // fast-check is read as `fc.integer()`, as in its own pages.
    'import/no-named-as-default-member': 'off',
  },
  overrides: [
    ...folder('gateway/**', SERVICE_BOUNDARIES),
    ...folder('backend/**', SERVICE_BOUNDARIES),
    ...Object.entries(DIRECTIONS).flatMap(([path, allowed]) =>
      folder(`${path}/**`, [...SERVICE_BOUNDARIES, ...serviceFolder(allowed)]),
    ),
    {
      // the one command that works on both databases
      files: ['backend/verify/main.ts'],
      rules: restricted([...SERVICE_BOUNDARIES, ...serviceFolder([...DIRECTIONS['backend/verify'], 'pglite'])]),
    },
    ...folder('infra/**', [PROCESS]),
    ...folder('shared/**', [PROCESS, ...sharedFolder()]),
    ...folder('shared/bus/**', [PROCESS, ...sharedFolder('../protocol/**', '../lifecycle/within.ts', '../lifecycle/retry.ts')]),
    { files: ['gateway/web/*'], rules: pages('../') },
    { files: ['gateway/web/*/**'], rules: pages('../../') },
    // in a browser the monotonic clock may stand still while the device sleeps, so the pages measure with the wall clock
    { files: ['gateway/web/**'], rules: { 'no-restricted-properties': 'off' } },
    // the clock itself
    { files: ['shared/lifecycle/clock.ts'], rules: { 'no-restricted-properties': 'off' } },
    {
      // the entries: a process each
      files: ['{gateway,backend,infra}/**/main.ts', 'infra/images/probe.ts', 'infra/compose/make-secrets.ts'],
      rules: { 'no-restricted-globals': 'off', 'no-console': 'off' },
    },
    {
      // tests and runners start processes, print what they measure, and ask the vendors directly
      files: ['**/*.test.ts', 'e2e/**', 'bench/**'],
      rules: {
        'no-restricted-globals': 'off',
        'no-restricted-imports': 'off',
        'no-restricted-properties': 'off',
        'no-console': 'off',
        'max-lines': 'off',
      },
    },
    {
      // but a service's tests see no more of the other service than it does
      files: ['gateway/**/*.test.ts', 'backend/**/*.test.ts', 'shared/**/*.test.ts'],
      rules: { 'no-restricted-imports': ['error', { patterns: [SERVICES] }] },
    },
  ],
} satisfies OxlintConfig
