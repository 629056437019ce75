import assert from 'node:assert/strict'
import { test } from 'node:test'
import { csvLine, exportCsv } from './export-csv.ts'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'

onEachDatabase('the export', (use) => {
  test('has the totals and every ballot of one moment, and no voter', async () => {
    const { database, createPoll } = use()
    const { id, slug } = await createPoll({ visibility: 'after-close' })
    await database.query(
      {
        text: `INSERT INTO livetally.ballots SELECT $1, gen_random_uuid(), CASE WHEN i % 4 = 0 THEN 'cats' ELSE 'dogs' END, '2026-11-22T20:00:00Z'
          FROM generate_series(1, 12000) i`,
      },
      [id],
    )
    const pieces: string[] = []
    for await (const piece of (await exportCsv(database, slug)) ?? []) {
      pieces.push(piece)
      // a vote is cast while the file is read
      if (pieces.length === 1 && database.kind === 'postgres') {
        await database.query(
          { text: "INSERT INTO livetally.ballots SELECT $1, 'ffffffff-0000-7000-8000-000000000000', 'cats'" },
          [id],
        )
      }
    }
    assert.equal(pieces.length, 4, 'a head and three pages')
    const lines = pieces.join('').split('\r\n')
    assert.deepEqual(lines.slice(0, 3), [
      '\uFEFFkind,option,label,count,cast_at',
      'total,cats,Cats,3000,',
      'total,dogs,Dogs,9000,',
    ])
    assert.equal(lines.filter((line) => line === 'ballot,cats,,1,2026-11-22T20:00:00.000Z').length, 3_000)
    assert.equal(lines.filter((line) => line === 'ballot,dogs,,1,2026-11-22T20:00:00.000Z').length, 9_000)
    assert.deepEqual([lines.length, lines.at(-1)], [12_004, ''])
  })

  test('may be left before its end', async () => {
    const { database, createPoll } = use()
    const { slug } = await createPoll()
    for await (const piece of (await exportCsv(database, slug)) ?? []) {
      assert.match(piece, /^\uFEFFkind/)
      break
    }
    assert.equal(await exportCsv(database, 'nowhere'), undefined)
  })

  test('is read by a spreadsheet as texts, none of them a formula, whichever separator it goes by', async () => {
    const { database, createPoll } = use()
    const labels = [
      '=HYPERLINK("http://evil.example";"Cats")',
      '+1',
      '-2+3',
      '@SUM(1)',
      '\t=1',
      '\r=1',
      '＝1',
      'a;=1',
      'Ünïcode "q"',
    ]
    const { slug } = await createPoll({ options: labels.map((label, i) => ({ id: `=${i}`, label })) })
    const pieces: string[] = []
    for await (const piece of (await exportCsv(database, slug)) ?? []) pieces.push(piece)
    const bytes = new TextEncoder().encode(pieces.join(''))
    assert.deepEqual(
      bytes.slice(0, 3),
      Uint8Array.of(0xef, 0xbb, 0xbf),
      'without the mark a spreadsheet may not take it for UTF-8',
    )

    const text = new TextDecoder().decode(bytes)
    const [, ...totals] = cellsOf(text, ',')
    const unescaped = (cell = '') => cell.replaceAll(/(^|[;\t\r\n])'/g, '$1')
    assert.deepEqual(
      totals.map(([, option, label]) => [unescaped(option), unescaped(label)]),
      labels.map((label, i) => [`=${i}`, label]),
    )
    for (const separator of [',', ';', '\t']) {
      for (const cell of cellsOf(text, separator).flat())
        assert.doesNotMatch(cell, /^\s*[=+\-@＝＋－＠]/, `between separators ${JSON.stringify(separator)}`)
    }
  })

  test('quotes what CSV needs quoted', () => {
    assert.equal(csvLine(['plain', 'a,b', 'say "x"', 'two\nlines', '']), 'plain,"a,b","say ""x""","two\nlines",\r\n')
  })
})

/** The cells of a CSV file (RFC 4180), line by line, as a reader has them that goes by this separator. */
function cellsOf(text: string, separator: string): string[][] {
  const lines: string[][] = [['']]
  let isQuoted = false
  for (let at = 0; at < text.length; at++) {
    const [char = '', line = []] = [text[at], lines.at(-1)]
    const cell = line.pop() ?? ''
    if (isQuoted && text.startsWith('""', at)) line.push(cell + text[at++])
    else if (char === '"' && (isQuoted || cell === '')) {
      isQuoted = !isQuoted
      line.push(cell)
    } else if (!isQuoted && char === separator) line.push(cell, '')
    else if (!isQuoted && (char === '\r' || char === '\n')) {
      line.push(cell)
      lines.push([''])
      if (text.startsWith('\r\n', at)) at++
    } else line.push(cell + char)
  }
  return lines.slice(0, -1)
}
