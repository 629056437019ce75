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
    assert.deepEqual(lines.slice(0, 3), ['kind,option,label,count,cast_at', 'total,cats,Cats,3000,', 'total,dogs,Dogs,9000,'])
    assert.equal(lines.filter((line) => line === 'ballot,cats,,1,2026-11-22T20:00:00.000Z').length, 3_000)
    assert.equal(lines.filter((line) => line === 'ballot,dogs,,1,2026-11-22T20:00:00.000Z').length, 9_000)
    assert.deepEqual([lines.length, lines.at(-1)], [12_004, ''])
  })

  test('may be left before its end', async () => {
    const { database, createPoll } = use()
    const { slug } = await createPoll()
    for await (const piece of (await exportCsv(database, slug)) ?? []) {
      assert.match(piece, /^kind/)
      break
    }
    assert.equal(await exportCsv(database, 'nowhere'), undefined)
  })

  test('quotes what CSV needs quoted', () => {
    assert.equal(csvLine(['plain', 'a,b', 'say "x"', 'two\nlines', '']), 'plain,"a,b","say ""x""","two\nlines",\r\n')
  })
})
