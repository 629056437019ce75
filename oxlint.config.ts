/**
 * The house's walls and habits, as the linter enforces them (docs/architecture.md draws them).
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

/** Each vendor has one door: these files import it, and nobody else does. */
const DOORS = {
  ioredis: ['shared/bus/redis-bus.ts', 'backend/ingest/vote-list.ts'],
  ws: ['gateway/upgrade.ts', 'gateway/connection.ts'],
  'p-retry': ['shared/lifecycle/retry.ts', 'gateway/forward.ts'],
  pg: ['backend/db.ts', 'backend/pool.ts', 'backend/migrate.ts'],
  'drizzle-orm': ['backend/drizzle.ts'],
  '@electric-sql/pglite': ['backend/db.ts', 'backend/pglite-*.ts'],
  hono: ['gateway/**', 'backend/**', 'infra/**'],
  '@hono/node-server': ['gateway/**', 'backend/**', 'infra/**'],
  '@hono/zod-openapi': ['backend/**'],
  koffi: ['gateway/descriptor-send.ts'],
  pino: ['shared/telemetry/log.ts'],
  '@prometheus-io/client': ['shared/telemetry/metrics.ts'],
} as const satisfies Record<string, readonly string[]>

type Vendor = keyof typeof DOORS
const VENDORS = Object.keys(DOORS) as Vendor[]

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
  message: 'The rooms of shared/ share the type of the log alone.',
}

/** Rooms of shared/ do not import each other; `also` is what a room may see besides its own files. */
function room(...also: string[]): Pattern[] {
  const message = 'The rooms of shared/ do not import each other.'
  // the linter stops at the first pattern that a negation lets pass, so this one comes last
  return [LOG_TYPE, { group: ['../**', '!../telemetry/log.ts', ...also.map((path) => `!${path}`)], message }]
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

/** What a file may not import: the vendors whose door it is not, and what stands behind the given walls. */
function restricted(walls: readonly Pattern[], open: readonly Vendor[] = []) {
  const closed = VENDORS.filter((vendor) => !open.includes(vendor))
  const patterns = [
    { regex: `^(${closed.join('|')})(/|$)`, message: 'Each vendor has one door: see DOORS in oxlint.config.ts.' },
    ...walls,
  ]
  return { 'no-restricted-imports': ['error', { patterns }] } as const
}

/** One override for each set of files below `folder` that is a door to the same vendors, after the one for the folder itself. */
function folder(path: string, walls: readonly Pattern[]) {
  const doors = new Map<string, Vendor[]>()
  for (const vendor of VENDORS) for (const file of DOORS[vendor]) doors.set(file, [...(doors.get(file) ?? []), vendor])
  const whole = doors.get(path) ?? []
  const inside = [...doors].filter(([file]) => file !== path && file.startsWith(path.replace('**', '')))
  return [
    { files: [path], rules: restricted(walls, whole) },
    ...inside.map(([file, vendors]) => ({ files: [file], rules: restricted(walls, [...whole, ...vendors]) })),
  ]
}

const SERVICE_WALLS = [PROCESS, SERVICES, RUNNERS]

export default {
  plugins: ['import', 'typescript', 'unicorn', 'oxc', 'node', 'promise'],
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['dist', 'data'],
  rules: {
    'import/no-cycle': 'error',
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
    ...folder('gateway/**', SERVICE_WALLS),
    ...folder('backend/**', SERVICE_WALLS),
    ...folder('infra/**', [PROCESS]),
    ...folder('shared/**', [PROCESS, ...room()]),
    ...folder('shared/bus/**', [PROCESS, ...room('../protocol/**')]),
    { files: ['gateway/web/*'], rules: pages('../') },
    { files: ['gateway/web/*/**'], rules: pages('../../') },
    {
      // the entries: a process each
      files: ['{gateway,backend,infra}/**/main.ts', 'infra/images/probe.ts', 'infra/compose/make-secrets.ts'],
      rules: { 'no-restricted-globals': 'off', 'no-console': 'off' },
    },
    {
      // tests and runners start processes, print what they measure, and ask the vendors directly
      files: ['**/*.test.ts', 'backend/databases-under-test.ts', 'e2e/**', 'bench/**'],
      rules: { 'no-restricted-globals': 'off', 'no-restricted-imports': 'off', 'no-console': 'off', 'max-lines': 'off' },
    },
    {
      // but a service's tests see no more of the other service than it does
      files: ['gateway/**/*.test.ts', 'backend/**/*.test.ts', 'backend/databases-under-test.ts', 'shared/**/*.test.ts'],
      rules: { 'no-restricted-imports': ['error', { patterns: [SERVICES] }] },
    },
  ],
} satisfies OxlintConfig
