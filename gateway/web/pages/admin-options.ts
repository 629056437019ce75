import { paletteColor } from '../model/bars.ts'
import type { DraftOption } from '../model/poll-draft.ts'
import { adminMessages } from './admin-language.ts'
import { byId } from './dom.ts'

interface Row {
  readonly item: HTMLLIElement
  readonly id: string
  readonly label: HTMLInputElement
  readonly color: HTMLInputElement
  readonly up: HTMLButtonElement
  readonly down: HTMLButtonElement
  readonly drop: HTMLButtonElement
  /** Undefined while the option has the palette's colour, which goes by position. */
  chosen: string | undefined
}

export interface OptionRows {
  fill(options: readonly DraftOption[]): void
  add(): void
  read(): readonly DraftOption[]
}

const MAX_OPTIONS = 50

/** The options in the form, which the organiser writes, colours, orders, adds and removes. */
export function createOptionRows(): OptionRows {
  const text = adminMessages.editor
  const list = byId('options', HTMLOListElement)
  const adder = byId('add-option', HTMLButtonElement)
  let rows: Row[] = []

  const arrange = () => {
    const focused = document.activeElement
    list.replaceChildren(...rows.map(({ item }) => item))
    // moving an element takes the focus from it
    if (focused instanceof HTMLElement && list.contains(focused)) focused.focus()
    for (const [index, row] of rows.entries()) {
      row.color.value = row.chosen ?? paletteColor(index)
      row.up.disabled = index === 0
      row.down.disabled = index === rows.length - 1
      row.drop.disabled = rows.length <= 2
      const position = index + 1
      row.label.setAttribute('aria-label', text.label(position))
      row.label.placeholder = text.label(position)
      row.color.setAttribute('aria-label', text.color(position))
      row.up.setAttribute('aria-label', text.up(position))
      row.down.setAttribute('aria-label', text.down(position))
      row.drop.setAttribute('aria-label', text.drop(position))
    }
    adder.disabled = rows.length >= MAX_OPTIONS
  }
  const move = (row: Row, by: number) => {
    const from = rows.indexOf(row)
    rows.splice(from, 1)
    rows.splice(from + by, 0, row)
    arrange()
  }
  const createRow = ({ id, label, color }: DraftOption): Row => {
    const button = (sign: string, act: () => void) => {
      const made = document.createElement('button')
      made.type = 'button'
      made.className = 'small'
      made.textContent = sign
      made.addEventListener('click', act)
      return made
    }
    const row: Row = {
      item: document.createElement('li'),
      id,
      label: document.createElement('input'),
      color: document.createElement('input'),
      up: button('↑', () => move(row, -1)),
      down: button('↓', () => move(row, 1)),
      drop: button('×', () => {
        const next = rows[rows.indexOf(row) + 1] ?? rows.at(-2)
        rows = rows.filter((each) => each !== row)
        arrange()
        next?.label.focus()
      }),
      chosen: color,
    }
    row.color.type = 'color'
    row.color.addEventListener('input', () => (row.chosen = row.color.value))
    row.label.value = label
    row.label.required = true
    row.label.maxLength = 200
    row.label.autocomplete = 'off'
    const moves = document.createElement('span')
    moves.className = 'moves'
    moves.append(row.up, row.down, row.drop)
    row.item.append(row.color, row.label, moves)
    return row
  }

  return {
    fill(options) {
      rows = options.map(createRow)
      arrange()
    },
    add() {
      const row = createRow({ id: '', label: '', color: undefined })
      rows.push(row)
      arrange()
      row.label.focus()
    },
    read: () => rows.map(({ id, label, chosen }) => ({ id, label: label.value, color: chosen })),
  }
}
