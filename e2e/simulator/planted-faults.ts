/** The faults that `planted.ts` plants: each breaks one promise. */

export interface Planted {
  readonly name: string
  readonly file: string
  /** What stands there once, and what takes its place. */
  readonly from: string
  readonly to: string
}

export const PLANTED: readonly Planted[] = [
  {
    name: 'the hub takes snapshots that are not newer',
    file: 'gateway/fanout/hub.ts',
    from: 'if (!isNewer(snapshot.tally, topic.snapshot?.tally)) return',
    to: '',
  },
  {
    name: 'a poll that the bus lacks or has older is not offered again',
    file: 'backend/tallies/poller.ts',
    from: 'uncompared = store.known()',
    to: '',
  },
  {
    name: 'a poll that is gone closes sockets that follow others too',
    file: 'gateway/fanout/hub.ts',
    from: 'connection.protocol === SUBPROTOCOL_GONE && left.length > 0',
    to: 'left.length > 16',
  },
  {
    name: 'sockets are closed in place of an announcement',
    file: 'gateway/fanout/socket-drain.ts',
    from: 'if (connection !== undefined && staying.has(connection)) announce(connection)',
    to: 'if (connection !== undefined && staying.has(connection)) close(connection)',
  },
  {
    name: 'the client opens its next socket when the old one is closed',
    file: 'gateway/web/client/transition.ts',
    from: "else if (state === 'live') {",
    to: "else if (state === 'live' && now < 0) {",
  },
  {
    name: 'the client shows what is older than what it shows',
    file: 'gateway/web/client/transition.ts',
    from: 'if (isNewer(frame, seen)) {',
    to: 'if (frame) {',
  },
  {
    name: 'votes are acknowledged before their transaction commits',
    file: 'backend/ballots/batch-writer.ts',
    from: 'const outcomes = await castBatch(session, batch)',
    to: 'const outcomes: CastOutcome[] = []; void castBatch(session, batch).catch(() => {})',
  },
  {
    name: 'a database that failed over goes on in its epoch',
    file: 'backend/database/identity.ts',
    from: 'else if (found.isAnother) {',
    to: 'else if (found.isAnother && tries > 9) {',
  },
  {
    name: 'the reader forgets the transactions that were running',
    file: 'backend/tallies/tally-reader.ts',
    from: 'return { text, xmax, running }',
    to: "return { text, xmax, running: '' }",
  },
  {
    name: 'nobody is told that the source is silent',
    file: 'gateway/fanout/hub.ts',
    from: 'isSilent = ageMs > SILENT_AFTER_MS ||',
    to: 'isSilent = ageMs > 1e9 ||',
  },
  {
    name: 'channels are not subscribed again after a reconnect, nor read',
    file: 'shared/bus/redis-node.ts',
    from: "this.#subscriber.on('ready', () => void this.subscribeAgain())",
    to: '',
  },
  {
    name: 'a socket that takes nothing for a while gets no more',
    file: 'gateway/fanout/connection.ts',
    from: 'this.#host.drained(this)',
    to: '',
  },
  {
    name: 'a removed poll is not forgotten by the bus',
    file: 'backend/tallies/poller.ts',
    from: 'removed.set(slug, Math.max(epoch, removed.get(slug) ?? 0))',
    to: '',
  },
]
