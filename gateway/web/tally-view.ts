import type { PollFrame } from '../../shared/protocol/frames.ts'
import type { Messages } from './messages/messages.ts'
import type { Badge } from './model/badge.ts'
import type { Bar, Bars } from './model/bars.ts'

export interface TallyViewOptions {
  readonly root: ShadowRoot
  readonly messages: Messages
  /** Without the question, which the page shows itself. */
  readonly plain: boolean
  readonly onPause: () => void
}

export interface TallyView {
  /** Draws the bars and returns them as a sentence. */
  draw(poll: PollFrame, bars: Bars): string
  setBadge(badge: Badge): void
  setPaused(isPaused: boolean): void
  /** Has screen readers speak the text. */
  say(text: string): void
}

const PAUSE = 'M2 1h4v14H2zM10 1h4v14h-4z'
const RESUME = 'M3 1v14l11-7z'

/** The content of <live-tally>: a list of rows with numbers, a line about the whole, and a live region for screen readers. */
export function createTallyView({ root, messages, plain, onPause }: TallyViewOptions): TallyView {
  const question = element('p', 'question')
  const none = element('p', 'none')
  const list = element('ul', 'list')
  const foot = element('div', 'foot')
  const total = element('span', 'total')
  const badge = element('span', 'badge')
  const pause = element('button', 'pause')
  const spoken = element('p', 'spoken')
  list.setAttribute('role', 'list') // Safari does not announce lists without bullets
  pause.type = 'button'
  spoken.setAttribute('role', 'status')
  foot.append(total, pause, badge)
  root.append(question, none, list, foot, spoken)
  question.hidden = none.hidden = list.hidden = pause.hidden = true

  const number = new Intl.NumberFormat(messages.language)
  const percents = [0, 1].map(
    (digits) =>
      new Intl.NumberFormat(messages.language, {
        style: 'percent',
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      }),
  )
  let rows: readonly Row[] = []
  let shape = ''

  const setPaused = (isPaused: boolean) => {
    const label = isPaused ? messages.tally.resume : messages.tally.pause
    pause.setAttribute('aria-label', label)
    pause.title = label
    pause.replaceChildren(icon(isPaused ? RESUME : PAUSE))
  }
  pause.addEventListener('click', onPause)
  setPaused(false)

  return {
    draw(poll, bars) {
      const votes = messages.votes(bars.total, number.format(bars.total))
      const newShape = JSON.stringify(poll.options)
      const isNew = shape !== newShape
      if (isNew) {
        shape = newShape
        rows = bars.bars.map((bar) => createRow(bar, messages))
        list.replaceChildren(...rows.map(({ item }) => item))
      }
      question.textContent = poll.question
      question.hidden = plain
      none.textContent = bars.kind === 'hidden' ? messages.tally.hidden(votes) : messages.tally.noVotes
      none.hidden = bars.kind === 'bars'
      list.hidden = bars.kind === 'hidden'
      pause.hidden = poll.state !== 'open' || bars.kind !== 'bars'
      total.textContent = bars.kind === 'bars' ? votes : ''
      const percent = (bar: Bar) => percents[bars.decimals]?.format(bar.percent / 100) ?? ''
      for (const [index, bar] of bars.bars.entries())
        rows[index]?.draw(bar, bars.kind === 'bars' ? percent(bar) : '', number.format(bar.count))
      // the first counts appear without an animation; changes move
      if (isNew) requestAnimationFrame(() => requestAnimationFrame(() => list.classList.add('is-moving')))
      if (bars.kind !== 'bars') return none.textContent
      const sentences = bars.bars.map(
        (bar) => `${bar.label} ${percent(bar)}${bar.isLeading ? `, ${messages.tally.leading}` : ''}`,
      )
      return messages.tally.announcement(sentences.join('; '), votes)
    },
    setBadge({ kind, text }) {
      badge.dataset['kind'] = kind
      if (badge.textContent !== text) badge.textContent = text
    },
    setPaused,
    say: (text) => (spoken.textContent = text),
  }
}

interface Row {
  readonly item: HTMLLIElement
  draw(bar: Bar, percent: string, count: string): void
}

function createRow(first: Bar, messages: Messages): Row {
  const item = element('li', 'row')
  const line = element('div', 'line')
  const label = element('span', 'label')
  const leading = element('span', 'leading')
  const numbers = element('span', 'numbers')
  const percent = element('span', 'percent')
  const count = element('span', 'count')
  const track = element('div', 'track')
  const bar = element('div', 'bar')
  label.textContent = first.label
  leading.textContent = messages.tally.leading
  track.setAttribute('aria-hidden', 'true')
  bar.style.setProperty('--_color', first.color)
  // screen readers need the spaces
  numbers.append(percent, ' ', count)
  line.append(label, ' ', leading, ' ', numbers)
  track.append(bar)
  item.append(line, track)
  return {
    item,
    draw(now, percentText, countText) {
      leading.hidden = !now.isLeading
      item.part.toggle('is-leading', now.isLeading)
      percent.textContent = percentText
      count.textContent = percentText === '' ? '' : messages.votes(now.count, countText)
      bar.style.setProperty('--_share', String(now.share))
      bar.classList.toggle('empty', now.share === 0)
    },
  }
}

/** An element whose class is also its part, for styles within and without. */
function element<Name extends keyof HTMLElementTagNameMap>(name: Name, part: string): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  made.className = part
  made.part.add(part)
  return made
}

function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  const shape = document.createElementNS('http://www.w3.org/2000/svg', 'path')
  svg.setAttribute('viewBox', '0 0 16 16')
  svg.setAttribute('aria-hidden', 'true')
  shape.setAttribute('d', path)
  svg.append(shape)
  return svg
}
