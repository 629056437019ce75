/** Marks as text for the bus, signed: whoever reaches Redis must not be able to begin epochs by making marks up. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Mark } from './identity.ts'

export interface Marks {
  write(mark: Mark): string
  /** The mark in a text; undefined if it is none, or was signed with another secret. */
  read(text: string | undefined): Mark | undefined
}

const MARK = /^(?<epoch>\d{1,10}) (?<lsn>[0-9A-F]{1,8}\/[0-9A-F]{1,8}) (?<identity>\S{1,100})$/

export function createMarks({
  secret,
  previousSecrets = [],
}: {
  readonly secret: string
  readonly previousSecrets?: readonly string[]
}): Marks {
  const signatureOf = (text: string, by: string) => createHmac('sha256', by).update(`livetally mark ${text}`).digest()
  return {
    write: ({ identity, epoch, lsn }) => {
      const text = `${epoch} ${lsn} ${identity}`
      return `${text} ${signatureOf(text, secret).toString('base64url')}`
    },
    read: (signed = '') => {
      const end = signed.lastIndexOf(' ')
      const text = signed.slice(0, Math.max(0, end))
      const given = Buffer.from(signed.slice(end + 1), 'base64url')
      const isOurs = [secret, ...previousSecrets].some((by) => {
        const signature = signatureOf(text, by)
        return given.length === signature.length && timingSafeEqual(given, signature)
      })
      const { epoch, lsn, identity } = (isOurs && MARK.exec(text)?.groups) || {}
      return epoch === undefined || lsn === undefined || identity === undefined
        ? undefined
        : { identity, epoch: Number(epoch), lsn }
    },
  }
}

/** Whether one mark is of a later moment than the other. */
export function isLater(mark: Mark, than: Mark | undefined): boolean {
  if (than === undefined || mark.epoch !== than.epoch) return mark.epoch > (than?.epoch ?? -1)
  return placeOf(mark) > placeOf(than)
}

function placeOf({ lsn }: Mark): bigint {
  const [high = '0', low = '0'] = lsn.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}
