/** Runs COPY … FROM STDIN, which pg does not support: the protocol's CopyIn (documentation §55.2.6) with text that is in memory. */
import type { Client, PoolClient } from 'pg'

interface CopyConnection {
  query(text: string): void
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

/** Runs the statement and gives it the lines; resolves when the server has taken them all. */
export async function copyIn(client: Client | PoolClient, statement: string, lines: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let failure: Error | undefined
  // pg calls this a Submittable, and gives it the messages that answer it
  const copy = {
    submit: (connection: CopyConnection) => connection.query(statement),
    handleCopyInResponse: (connection: CopyConnection) => {
      for (let i = 0; i < lines.length; i += 5_000) {
        connection.sendCopyFromChunk(Buffer.from(`${lines.slice(i, i + 5_000).join('\n')}\n`))
      }
      connection.endCopyFrom()
    },
    handleCommandComplete: () => {},
    handleError: (error: Error) => reject((failure = error)),
    handleReadyForQuery: () => failure === undefined && resolve(),
  }
  client.query(copy as never)
  await promise
}
