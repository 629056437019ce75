import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Chapter } from './journal.ts'
import { drawTimeline } from './timeline.ts'

const REPORT = { seed: 7, seconds: 100, violations: [] }

test('a fault is a bar as long as it lasted, and another one until every screen was right', () => {
  const fault = { kind: 'redis dies', downMs: 1 } as const
  const chapter: Chapter = { number: 1, fault, startedAt: 10_000, overAt: 30_000, endedAt: 40_000, exits: [] }
  const picture = drawTimeline({ startedAt: 0, endedAt: 100_000, chapters: [chapter], worst: [], answers: [] }, REPORT)
  const widths = [...picture.matchAll(/width="([\d.]+)"[^>]*><title>/g)].map(([, width]) => Number(width))
  assert.equal(widths.length, 2)
  assert.ok(Math.abs((widths[0] ?? 0) / (widths[1] ?? 1) - 2) < 0.01, widths.join(' and '))
  assert.match(picture, />redis dies</)
  assert.match(picture, /No violation/)
})

test('votes that were answered 5xx or not at all are columns, and those of voters with little patience are none', () => {
  const vote = { sentAt: 5_000, tookMs: 100, isPatient: true }
  const answers = [
    { ...vote, status: 503 },
    { ...vote, status: 0 },
    { ...vote, status: 0, isPatient: false },
    { ...vote, status: 200 },
  ]
  const picture = drawTimeline({ startedAt: 0, endedAt: 100_000, chapters: [], worst: [], answers }, REPORT)
  assert.match(picture, /<text x="222"[^>]*>2<\/text>/)
})

test('a violation is marked', () => {
  const violation = { rule: 'a process grew', detail: '', second: 50, during: '' }
  const timeline = { startedAt: 0, endedAt: 100_000, chapters: [], worst: [], answers: [] }
  const picture = drawTimeline(timeline, { ...REPORT, violations: [violation] })
  assert.match(picture, /<title>a process grew<\/title>/)
  assert.match(picture, /Violations: 1/)
})
