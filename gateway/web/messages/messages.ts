/** The messages of the pages, one object for each language: en.ts, de.ts. Numbers and times are formatted already. */
export interface Messages {
  readonly language: string
  readonly votes: (count: number, formatted: string) => string
  readonly badge: {
    readonly live: string
    readonly connecting: string
    readonly reconnecting: string
    readonly asOf: (time: string) => string
    readonly reconnectingAsOf: (time: string) => string
    readonly pausedAsOf: (time: string) => string
    readonly unknownPoll: string
    readonly notAllowed: string
    readonly ended: string
  }
  readonly tally: {
    readonly results: string
    readonly noVotes: string
    readonly hidden: (votes: string) => string
    readonly leading: string
    readonly pause: string
    readonly resume: string
    readonly announcement: (rows: string, votes: string) => string
  }
  readonly home: {
    readonly title: string
    readonly lead: string
    readonly open: string
    readonly closed: string
    readonly scheduled: string
    readonly none: string
    readonly failed: string
    readonly vote: string
    readonly results: string
    readonly organisers: string
    readonly developers: string
  }
  readonly vote: {
    readonly choose: string
    readonly invite: string
    readonly needsTicket: string
    readonly sending: (option: string) => string
    readonly retrying: (option: string) => string
    /** Said where the server takes no more votes from this address for so many seconds. */
    readonly crowded: (option: string, seconds: number) => string
    /** Said where the browser keeps no cookies, and then what to do about it. */
    readonly cookieless: (option: string) => string
    readonly allowCookies: string
    readonly counted: (option: string) => string
    /** Said while the server is asked whether a vote from before counting began anew still counts. */
    readonly checking: string
    /** The option is undefined where its label is not known. */
    readonly withdrawn: (option: string | undefined) => string
    readonly noLongerCounts: string
    readonly another: string
    /** Stands for an option whose label is not known. */
    readonly withdrawnOption: string
    readonly change: string
    readonly final: string
    readonly closed: string
    readonly scheduled: string
    readonly opensAt: (time: string) => string
    readonly closesAt: (time: string) => string
    readonly refused: (why: string) => string
    readonly retryLoading: string
    readonly unknownPoll: string
    /** The state of a poll that was deleted, and the same as a sentence. */
    readonly removedState: string
    readonly removed: string
    readonly bigScreen: string
    readonly allPolls: string
  }
  readonly results: {
    readonly join: string
    readonly timeline: string
    readonly timelineOf: (from: string, to: string) => string
    readonly held: string
    readonly qrLabel: (address: string) => string
    readonly keys: string
    readonly help: readonly (readonly [key: string, meaning: string])[]
    readonly close: string
  }
}
