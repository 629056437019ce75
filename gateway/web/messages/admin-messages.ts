/** The messages of the organiser's page, apart from those of all pages, so that voters do not load them. */
export interface AdminMessages {
  readonly title: string
  readonly signIn: {
    readonly token: string
    readonly hint: string
    readonly submit: string
    readonly wrong: string
    readonly out: string
  }
  readonly failed: string
  readonly noAnswer: string
  readonly loading: string
  readonly servers: {
    readonly title: string
    readonly id: string
    readonly phase: string
    readonly sockets: string
    readonly phases: Readonly<Record<string, string>>
    readonly summary: (gateways: string, sockets: string) => string
    readonly none: string
    readonly draining: string
  }
  readonly polls: {
    readonly title: string
    readonly create: string
    readonly none: string
    readonly hidden: string
    /** The table that the poll counts is gone. */
    readonly sourceGone: string
    readonly vote: string
    readonly results: string
    readonly open: string
    readonly close: string
    readonly hide: string
    readonly show: string
    readonly edit: string
    readonly tickets: string
    readonly csv: string
    readonly reset: string
    readonly remove: string
    /** Names a button for screen readers. */
    readonly of: (action: string, question: string) => string
    readonly done: (action: string, question: string) => string
  }
  readonly editor: {
    readonly create: string
    readonly edit: string
    readonly question: string
    readonly name: string
    readonly nameHint: string
    readonly options: string
    readonly label: (position: number) => string
    readonly color: (position: number) => string
    readonly up: (position: number) => string
    readonly down: (position: number) => string
    readonly drop: (position: number) => string
    readonly add: string
    readonly schedule: string
    readonly opensAt: string
    readonly closesAt: string
    readonly rules: string
    readonly changeAllowed: string
    readonly visibility: string
    readonly visibilities: Readonly<Record<'live' | 'after-vote' | 'after-close', string>>
    readonly policy: string
    readonly policies: Readonly<Record<'cookie' | 'ticket', string>>
    readonly source: string
    readonly sourceHint: string
    readonly table: string
    readonly optionColumn: string
    readonly save: string
    readonly cancel: string
  }
  readonly confirm: {
    readonly reset: (question: string, votes: string) => string
    readonly remove: (question: string, votes: string) => string
    /** Asked before options with votes are taken from a poll; `options` is a list of `withdrawnOption`. */
    readonly withdraw: (options: string) => string
    readonly withdrawnOption: (label: string, id: string, votes: string) => string
    /** Added where votes may not be changed. */
    readonly withdrawFinal: string
    readonly withdrawGo: string
    readonly cancel: string
  }
  readonly tickets: {
    readonly title: (question: string) => string
    readonly hint: string
    readonly count: string
    readonly download: string
  }
}
